#include "tensor/overlap.h"

#include <algorithm>
#include <numeric>

#include "tensor/elementwise.h"

namespace tapir {
namespace {

// Numbers Σ_k stride_k n_k with 0 ≤ n_k ≤ most_k and all strides > 0: distances of elements from the lowest one.
class Sums {
 public:
  void add(int64_t stride, int64_t most) {
    if (most > 0) terms_[count_++] = {stride, most};
  }

  // Strides fall, and differ.
  void order() {
    std::sort(terms_.begin(), terms_.begin() + count_, [](const Term& a, const Term& b) { return a.stride > b.stride; });
    int kept = 0;
    for (int k = 0; k < count_; ++k)
      if (kept > 0 && terms_[kept - 1].stride == terms_[k].stride) terms_[kept - 1].most += terms_[k].most;
      else terms_[kept++] = terms_[k];
    count_ = kept;
    int64_t reach = 0, divisor = 0;
    for (int k = count_ - 1; k >= 0; --k) {
      terms_[k].behind = reach;
      terms_[k].divisor = divisor = std::gcd(divisor, terms_[k].stride);
      reach += terms_[k].stride * terms_[k].most;
    }
  }

  // What the terms behind reach leaves few n to try: one or two where axes are nested, as in every ordinary view.
  bool contain(int64_t sum, int from = 0) const {
    if (sum <= 0 || from == count_) return sum == 0;
    const Term& term = terms_[from];
    if (sum % term.divisor != 0) return false;
    const int64_t least = sum > term.behind ? (sum - term.behind + term.stride - 1) / term.stride : 0;
    for (int64_t n = std::min(term.most, sum / term.stride); n >= least; --n)
      if (contain(sum - n * term.stride, from + 1)) return true;
    return false;
  }

 private:
  struct Term {
    int64_t stride = 0, most = 0;
    int64_t behind = 0, divisor = 0;   // what the terms behind reach; what divides this stride and theirs
  };
  std::array<Term, 2 * Shape::max_rank> terms_{};
  int count_ = 0;
};

struct Range {
  int64_t lowest, highest;
};

Range range_of(const Tensor& x) {
  Range range{x.offset(), x.offset()};
  for (int axis = 0; axis < x.rank(); ++axis)
    (x.stride(axis) < 0 ? range.lowest : range.highest) += (x.size(axis) - 1) * x.stride(axis);
  return range;
}

}  // namespace

// Of two elements at one place let axis k, in the order of falling strides, be the first along which they are apart, by
// d_k > 0: then Σ_{j ≥ k} s_j d_j = 0 with |d_j| < n_j, which is to say
//   s_k (d_k − 1) + Σ_{j > k} s_j (d_j + n_j − 1)  =  −s_k + Σ_{j > k} s_j (n_j − 1)
bool overlaps_itself(const Tensor& x) {
  if (x.is_contiguous()) return false;
  std::array<std::pair<int64_t, int64_t>, Shape::max_rank> axes;   // stride, extent − 1
  int count = 0;
  for (int axis = 0; axis < x.rank(); ++axis)
    if (x.size(axis) > 1) {   // in the order of strides
      const std::pair<int64_t, int64_t> entry{std::abs(x.stride(axis)), x.size(axis) - 1};
      const auto place = std::upper_bound(axes.begin(), axes.begin() + count, entry);
      std::copy_backward(place, axes.begin() + count, axes.begin() + count + 1);
      *place = entry;
      ++count;
    }
  if (axes[0].first == 0) return true;
  int64_t reach = 0;
  for (int k = 0; k < count; ++k) {
    const auto [stride, last] = axes[k];
    if (reach >= stride) {
      Sums sums;
      sums.add(stride, last - 1);
      for (int j = 0; j < k; ++j) sums.add(axes[j].first, 2 * axes[j].second);
      sums.order();
      if (sums.contain(reach - stride)) return true;
    }
    reach += stride * last;
  }
  return false;
}

// Two elements at one place: lowest of x + Σ s_j a_j = highest of y − Σ t_j b_j.
bool overlap(const Tensor& x, const Tensor& y) {
  if (!x.shares_storage(y) || x.elements() == 0 || y.elements() == 0) return false;
  const Range in_x = range_of(x), in_y = range_of(y);
  if (in_x.highest < in_y.lowest || in_y.highest < in_x.lowest) return false;
  Sums sums;
  for (const Tensor* view : {&x, &y})
    for (int axis = 0; axis < view->rank(); ++axis)
      if (view->stride(axis) != 0) sums.add(std::abs(view->stride(axis)), view->size(axis) - 1);
  sums.order();
  return sums.contain(in_y.highest - in_x.lowest);
}

void require_target(const char* function, const Tensor& y) {
  require_defined(function, "y", y);
  require(
      !overlaps_itself(y), function,
      [&] { return text("the target, a view of shape ", y.shape(), ", has several elements at one place"); },
      "write into a copy(), or into what was expanded");
}

void require_apart(const char* function, const Tensor& y, const Tensor& x) {
  if (!x.shares_storage(y)) return;
  const Strides strides = strides_within(y.shape(), x);
  bool same = x.offset() == y.offset();
  for (int axis = 0; axis < y.rank(); ++axis) same = same && (y.size(axis) == 1 || strides[axis] == y.stride(axis));
  require(
      same || !overlap(x, y), function,
      [&] { return text("the source of shape ", x.shape(), " overlaps the target of shape ", y.shape(), " in memory"); },
      "copy() the source first");
}

}  // namespace tapir
