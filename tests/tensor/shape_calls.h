// Calls of functions that take shapes, axes and extents, drawn from bytes: small ones, and those near 2³¹, 2³², 2⁶⁰ and 2⁶³.
// The right shape is computed in 128 bits. A call has to give it, an Error where there is none, or OutOfMemory where it
// is large; all else is a fault.
#pragma once
#include <limits>
#include <string>
#include <vector>

#include "attention/kernels/alibi.h"
#include "attention/kernels/rotary.h"
#include "autograd/ops.h"
#include "tensor/in_place.h"
#include "tensor/overlap.h"
#include "tensor/view.h"
#include "tests/tensor/shape_judge.h"

namespace tapir {

class ShapeCalls : ShapeJudge {
 public:
  using ShapeJudge::ShapeJudge;

  // One call; what was wrong with it, "" if nothing was.
  std::string fault() {
    using Call = void (ShapeCalls::*)();
    static constexpr Call calls[] = {
        &ShapeCalls::make,     &ShapeCalls::fill_from, &ShapeCalls::stride,  &ShapeCalls::axes,   &ShapeCalls::slices,
        &ShapeCalls::expands,  &ShapeCalls::reshapes,  &ShapeCalls::turns,   &ShapeCalls::pads,   &ShapeCalls::joins,
        &ShapeCalls::reduces,  &ShapeCalls::along,     &ShapeCalls::rows,    &ShapeCalls::matrix, &ShapeCalls::broadcasts,
        &ShapeCalls::by_index, &ShapeCalls::sorts,     &ShapeCalls::layers,  &ShapeCalls::writes, &ShapeCalls::copies,
        &ShapeCalls::losses,   &ShapeCalls::positions, &ShapeCalls::linears, &ShapeCalls::windows, &ShapeCalls::resamples};
    (this->*calls[below(sizeof(calls) / sizeof(calls[0]))])();
    return fault_;
  }

 private:
  void make() {
    Shape given = shape();
    const DType type = static_cast<DType>(below(4));
    const int kind = below(3);
    judge(text("Tensor::empty ", given), wide(given), false, [&] {
      return kind == 0 ? Tensor::empty(given, type, Device::cpu)
                       : kind == 1 ? Tensor::zeros(given, type, Device::cpu) : Tensor::full(given, 2, type, Device::cpu);
    });
  }

  void fill_from() {
    const Shape given = shape();
    const std::vector<int32_t> values(below(30));
    const int64_t count = elements(wide(given));
    const bool right = count == static_cast<int64_t>(values.size());
    judge(text("Tensor::from ", values.size(), ' ', given), right ? Wanted(wide(given)) : Wanted(), false,
          [&] { return Tensor::from(values, given, Device::cpu); });
  }

  void stride() {
    const Tensor base = Tensor::zeros({60}, DType::f32, Device::cpu);
    const Tensor x = base.strided({20}, {1}, 20);
    const Shape given = shape();
    Strides strides{};
    const int64_t offset = below(2) ? below(60) - 20 : extent();
    const int64_t count = elements(wide(given));
    __int128 lowest = 20 + static_cast<__int128>(offset), highest = lowest;
    for (int axis = 0; axis < given.rank(); ++axis) {
      strides[axis] = below(3) ? below(9) - 4 : extent();
      if (count > 0) (strides[axis] < 0 ? lowest : highest) += static_cast<__int128>(given[axis] - 1) * strides[axis];
    }
    const bool inside = count == 0 || (count > 0 && lowest >= 0 && highest < 60);
    judge(text("strided ", given), inside ? Wanted(wide(given)) : Wanted(), false,
          [&] { return x.strided(given, strides, offset); });
  }

  void axes() {
    const Tensor x = tensor();
    const int axis = any_axis(), at = place(axis, x.rank()), kind = below(9);
    const int64_t other = extent();
    const Shape shape = x.shape();
    Wide wanted;
    if (at >= 0 && kind == 4) wanted = wide(shape), wanted[at] = 1;
    if (at >= 0 && kind == 5) wanted = wide(shape), wanted.erase(wanted.begin() + at);
    judge(text("axis ", axis, " of ", shape), at < 0 ? Wanted() : Wanted(wanted), false, [&]() -> Tensor {
      const auto number = [&](int64_t value, int64_t right) {
        if (value != right) throw std::logic_error("another axis");
        return Tensor::zeros({}, DType::f64, Device::cpu);
      };
      switch (kind) {
        case 0: return number(x.size(axis), at < 0 ? 0 : shape.begin()[at]);
        case 1: return number(x.stride(axis), at < 0 ? 0 : x.strides()[at]);
        case 2: return number(shape[axis], at < 0 ? 0 : shape.begin()[at]);
        case 3: return number(normal_axis("op", axis, shape), at);
        case 4: return view::expand(Tensor::zeros({}, DType::f64, Device::cpu), shape.with(axis, 1));
        case 5: return view::expand(Tensor::zeros({}, DType::f64, Device::cpu), shape.without(axis));
        default: return number(shape.with(axis, other)[axis], other);
      }
    });
  }

  void slices() {
    const Tensor x = tensor();
    const int axis = any_axis(), at = place(axis, x.rank());
    const int64_t begin = extent(), length = extent();
    Wanted wanted;
    if (at >= 0 && begin >= 0 && length >= 0 && static_cast<__int128>(begin) + length <= x.size(at))
      wanted = wide(x.shape().with(at, length));
    const bool op = below(2);
    judge(text("slice ", x.shape(), ' ', axis, ' ', begin, ' ', length), wanted, false,
          [&] { return op ? slice(x, axis, begin, length) : view::slice(x, axis, begin, length); });
  }

  void expands() {
    const Tensor x = tensor();
    const Shape to = shape();
    const int added = to.rank() - x.rank();
    bool fits = added >= 0;
    for (int axis = 0; fits && axis < x.rank(); ++axis) fits = x.size(axis) == to[added + axis] || x.size(axis) == 1;
    const bool op = below(2);
    judge(text("expand ", x.shape(), " to ", to), fits ? Wanted(wide(to)) : Wanted(), false,
          [&] { return op ? expand(x, to) : view::expand(x, to); });
  }

  void reshapes() {
    const Tensor x = tensor();
    Shape to = shape();
    if (below(2) && to.rank() > 0) {   // one that is likely to fit
      for (int axis = 0; axis < to.rank(); ++axis) to[axis] = 1 + below(3);
      to[below(to.rank())] = -1;
    }
    __int128 known = 1;
    int open = 0, last = 0;
    bool negative = false;
    for (int axis = 0; axis < to.rank(); ++axis) {
      if (to[axis] == -1 && ++open == 1) last = axis;
      else if (to[axis] < 0) negative = true;
      else known = std::min<__int128>(known * to[axis], static_cast<__int128>(1) << 63);
    }
    Wanted wanted;
    if (!negative && open == 0 && known == x.elements()) wanted = wide(to);
    if (!negative && open == 1 && known > 0 && x.elements() % known == 0)
      wanted = wide(to.with(last, static_cast<int64_t>(x.elements() / known)));
    const bool op = below(2);
    judge(text("reshape ", x.shape(), " to ", to), wanted, !is_small(x),
          [&] { return op ? reshape(x, to) : view::reshape(x, to); });
  }

  void turns() {
    const Tensor x = tensor();
    const int a = any_axis(), b = any_axis(), in_a = place(a, x.rank()), in_b = place(b, x.rank()), kind = below(4);
    const int64_t k = extent();
    Wanted wanted;
    if (kind == 0 && in_a >= 0 && in_b >= 0) {
      wanted = wide(x.shape());
      std::swap((*wanted)[in_a], (*wanted)[in_b]);
    }
    if ((kind == 1 && in_a >= 0) || (kind > 1 && x.rank() >= 2)) wanted = wide(x.shape());
    judge(text("turn ", kind, ' ', x.shape(), ' ', a, ' ', b, ' ', k), wanted, !is_small(x), [&] {
      return kind == 0 ? transpose(x, a, b) : kind == 1 ? flip(x, a) : kind == 2 ? tril(x, k) : triu(x, k);
    });
  }

  void pads() {
    const Tensor x = tensor();
    const int axis = any_axis(), at = place(axis, x.rank());
    const int64_t before = extent(), after = extent();
    Wanted wanted;
    if (at >= 0 && before >= 0 && after >= 0) {
      wanted = wide(x.shape());
      (*wanted)[at] += static_cast<__int128>(before) + after;
    }
    judge(text("pad ", x.shape(), ' ', axis, ' ', before, ' ', after), wanted, !is_small(x),
          [&] { return pad(x, axis, before, after); });
  }

  void joins() {
    const Tensor x = tensor();
    const int axis = any_axis();
    const bool stacked = below(2);
    const int at = place(axis, x.rank() + stacked);
    const std::vector<Tensor> parts(1 + below(4) * (below(4) ? 1 : 40), x);
    Wanted wanted;
    if (at >= 0) {
      wanted = wide(x.shape());
      if (stacked) wanted->insert(wanted->begin() + at, 1);
      (*wanted)[at] *= static_cast<__int128>(parts.size());
    }
    judge(text(stacked ? "stack " : "concat ", parts.size(), ' ', x.shape(), ' ', axis), wanted, !is_small(x),
          [&] { return stacked ? stack(parts, axis) : concat(parts, axis); });
  }

  void reduces() {
    const Tensor x = tensor();
    const int axis = any_axis(), at = place(axis, x.rank()), kind = below(9);
    const bool keep = below(2);
    Wanted wanted;
    if (kind == 6) wanted = Wide{};
    else if (at >= 0) {
      wanted = wide(x.shape());
      if (keep) (*wanted)[at] = 1;
      else wanted->erase(wanted->begin() + at);
    }
    judge(
        text("reduce ", kind, ' ', x.shape(), ' ', axis), wanted, !is_small(x),
        [&] {
          switch (kind) {
            case 0: return sum(x, axis, keep);
            case 1: return mean(x, axis, keep);
            case 2: return var(x, axis, 1, keep);
            case 3: return max(x, axis, keep);
            case 4: return min(x, axis, keep);
            case 5: return norm(x, 2, axis, keep);
            case 7: return argmax(x, axis, keep);
            case 8: return argmin(x, axis, keep);
            default: return sum(x);
          }
        },
        kind > 0);   // the mean, or the largest, of nothing
  }

  void along() {
    const Tensor x = tensor();
    const int axis = any_axis(), kind = below(3);
    const bool right = place(axis, x.rank()) >= 0;
    judge(text("scan ", kind, ' ', x.shape(), ' ', axis), right ? Wanted(wide(x.shape())) : Wanted(), !is_small(x),
          [&] { return kind == 0 ? cumsum(x, axis) : kind == 1 ? logcumsumexp(x, axis) : linear_recurrence(x, x, axis); });
  }

  void rows() {
    const Tensor x = tensor();
    const int kind = below(4);
    Wanted wanted;
    if (x.rank() >= 1) {
      wanted = wide(x.shape());
      if (kind == 2) wanted->pop_back();
    }
    judge(
        text("rows ", kind, ' ', x.shape()), wanted, !is_small(x),
        [&] {
          if (kind == 3) return rms_norm(x, Tensor::zeros({x.size(-1)}, DType::f64, Device::cpu));
          return kind == 0 ? softmax(x) : kind == 1 ? log_softmax(x) : logsumexp(x);
        },
        true);
  }

  void matrix() {
    const Tensor a = tensor();
    Tensor b = tensor();
    if (below(2) && a.rank() >= 2) b = transpose(a);   // fits
    const auto extents = wide(a.shape()), others = wide(b.shape());
    Wanted wanted;
    if (a.rank() >= 2 && b.rank() >= 2 && a.size(-1) == b.size(-2)) {
      wanted = broadcasted(Wide(extents.begin(), extents.end() - 2), Wide(others.begin(), others.end() - 2));
      if (wanted) wanted->insert(wanted->end(), {a.size(-2), b.size(-1)});
    }
    judge(text("matmul ", a.shape(), ' ', b.shape()), wanted, !is_small(a) || !is_small(b), [&] { return matmul(a, b); });
  }

  static Wanted broadcasted(Wide a, Wide b) {
    if (a.size() < b.size()) a.insert(a.begin(), b.size() - a.size(), 1);
    if (b.size() < a.size()) b.insert(b.begin(), a.size() - b.size(), 1);
    for (size_t axis = 0; axis < a.size(); ++axis) {
      if (a[axis] != b[axis] && a[axis] != 1 && b[axis] != 1) return {};
      if (a[axis] == 1) a[axis] = b[axis];
    }
    return a;
  }

  void broadcasts() {
    const Tensor a = tensor(), b = tensor();
    judge(text("add ", a.shape(), ' ', b.shape()), broadcasted(wide(a.shape()), wide(b.shape())), !is_small(a) || !is_small(b),
          [&] { return add(a, b); });
  }

  void by_index() {
    const Tensor x = tensor(), indices = tensor(DType::i32);   // zeros
    const int kind = below(4), axis = any_axis(), at = place(axis, x.rank());
    const int64_t size = extent();
    Wanted wanted;
    const bool none = indices.elements() == 0;
    if (kind == 0 && x.rank() == 2) {   // embedding: row 0 has to be there
      wanted = wide(indices.shape());
      wanted->push_back(x.size(1));
      if (x.size(0) == 0 && !none) wanted.reset();
    }
    if (at >= 0 && (x.size(at) > 0 || none)) {
      if (kind == 1 && indices.rank() == 1) wanted = wide(x.shape().with(at, indices.size(0)));
      if (kind == 2 && indices.rank() == x.rank() && indices.shape().with(at, 0) == x.shape().with(at, 0))
        wanted = wide(indices.shape());
    }
    if (kind == 3) {   // scatter_rows
      if (x.rank() == indices.rank() + 1 && x.shape().without(-1) == indices.shape() && (size > 0 || none))
        wanted = Wide{size, x.size(-1)};
    }
    const bool large = !is_small(x) || !is_small(indices);
    judge(text("index ", kind, ' ', x.shape(), ' ', indices.shape(), ' ', axis, ' ', size), wanted, large, [&] {
      return kind == 0 ? embedding(x, indices) : kind == 1 ? index_select(x, axis, indices)
                     : kind == 2 ? gather(x, axis, indices) : scatter_rows(x, indices, size);
    });
  }

  void sorts() {
    const Tensor x = tensor();
    const int axis = any_axis(), at = place(axis, x.rank());
    const int64_t k = extent();
    const bool top = below(2);
    Wanted wanted;
    if (at >= 0 && (!top || (k >= 0 && k <= x.size(at)))) wanted = wide(top ? x.shape().with(at, k) : x.shape());
    const bool too_long = at >= 0 && x.size(at) > std::numeric_limits<int32_t>::max();   // for i32 indices
    judge(text(top ? "topk " : "sort ", x.shape(), ' ', axis, ' ', k), wanted, !is_small(x),
          [&] { return top ? topk(x, k, axis).values : sort(x, axis).values; }, too_long);
  }

  void layers() {
    const Tensor x = tensor();
    const int axis = any_axis(), kind = below(3);
    const int64_t groups = extent();
    const Tensor weight = Tensor::zeros({x.rank() > 1 && x.size(1) < 100 ? x.size(1) : 3}, DType::f64, Device::cpu);
    judge(
        text("layer ", kind, ' ', x.shape(), ' ', axis, ' ', groups), wide(x.shape()), !is_small(x),
        [&] {
          return kind == 0 ? group_norm(x, groups, weight, weight) : kind == 1 ? batch_norm(x, weight, weight, axis).y
                                                                   : layer_norm(x, weight, weight);
        },
        true);
  }

  void writes() {
    const Tensor base = tensor(), x = below(2) ? tensor() : base;
    Tensor y = base;
    const int kind = below(4);
    const bool fits = kind == 0 || kind == 3 || broadcasted(wide(y.shape()), wide(x.shape())) == Wanted(wide(y.shape()));
    const bool apart = x.shares_storage(y) ? x.strides() == y.strides() : true;
    const Wanted wanted = fits && apart && !overlaps_itself(y) ? Wanted(wide(y.shape())) : Wanted();
    judge(text("write ", kind, ' ', y.shape(), ' ', x.shape()), wanted, false, [&] {
      if (kind == 0) fill_(y, 1);
      if (kind == 1) copy_(y, x);
      if (kind == 2) add_(y, x);
      if (kind == 3) scale_(y, 2);
      return y;
    });
  }

  void copies() {
    const Tensor x = tensor();
    const int kind = below(4);
    judge(text("copy ", kind, ' ', x.shape()), wide(x.shape()), !is_small(x), [&] {
      if (kind == 0) return x.copy();
      if (kind == 1) return x.contiguous();
      if (kind == 2) return x.to(DType::f32);
      if (static_cast<int64_t>(x.values<double>().size()) != x.elements()) throw std::logic_error("other values");
      return x;
    });
  }

  void losses() {
    const Tensor x = tensor(), other = below(2) ? tensor() : x;
    const int kind = below(3);
    const Tensor targets = kind == 2 && x.rank() > 0 && x.elements() > 0 && is_small(x)
                               ? Tensor::zeros(x.shape().without(-1), DType::i32, Device::cpu) : tensor(DType::i32);
    Wanted wanted = Wide{};
    if (kind < 2 && x.shape() != other.shape()) wanted.reset();
    if (kind == 2 && (x.rank() == 0 || x.shape().without(-1) != targets.shape())) wanted.reset();
    const bool large = !is_small(x) || !is_small(other);
    judge(
        text("loss ", kind, ' ', x.shape(), ' ', other.shape(), ' ', targets.shape()), wanted, large,
        [&] { return kind == 0 ? squared_error(x, other) : kind == 1 ? kl_div(x, other) : cross_entropy(x, targets); },
        kind == 2);
  }

  void positions() {
    const Tensor x = tensor();
    const int64_t heads = extent(), queries = extent(), keys = extent(), offset = below(100);
    if (below(2)) return judge(text("alibi ", heads, ' ', queries, ' ', keys), Wide{heads, queries, keys}, false,
                               [&] { return alibi_bias(heads, queries, keys, offset, DType::f32, Device::cpu); });
    judge(text("rotary ", x.shape()), x.rank() >= 2 && x.size(-1) % 2 == 0 ? Wanted(wide(x.shape())) : Wanted(), !is_small(x),
          [&] { return rotary(x, offset); });
  }

  void linears() {
    const Tensor x = tensor(), bias = tensor();
    Tensor weight = tensor();
    if (below(2) && x.rank() > 0)
      weight = Tensor::zeros({1 + below(4), std::min<int64_t>(x.size(-1), 1 << 16)}, DType::f64, Device::cpu);
    if (weight.rank() != 2) return;
    const bool biased = below(2);
    Wanted wanted;
    if (x.rank() >= 1 && x.size(-1) == weight.size(1) && (!biased || bias.shape() == Shape{weight.size(0)})) {
      wanted = wide(x.shape());
      wanted->back() = weight.size(0);
    }
    judge(text("linear ", x.shape(), ' ', weight.shape()), wanted, !is_small(x) || !is_small(weight),
          [&] { return biased ? linear(x, weight, bias) : linear(x, weight); }, !wanted);
  }

  // Small numbers that fit now and then, else any.
  int64_t count() { return below(6) ? 1 + below(3) : extent(); }

  // Windows that meet `size` places: ⌊(size + 2 padding − dilation (kernel − 1) − 1)/stride⌋ + 1; none: an Error is right.
  static std::optional<__int128> windows_of(__int128 size, int64_t kernel, const PatchOptions& options) {
    if (kernel < 1 || options.stride < 1 || options.dilation < 1 || options.padding < 0) return {};
    const __int128 reach = static_cast<__int128>(options.dilation) * (kernel - 1);
    if (options.padding > reach || size + 2 * static_cast<__int128>(options.padding) <= reach) return {};
    return (size + 2 * static_cast<__int128>(options.padding) - reach - 1) / options.stride + 1;
  }

  // Convolutions, their adjoints, and what shares their windows. What they refuse beside sizes is theirs to say.
  void windows() {
    const Tensor x = tensor(), other = tensor();
    const int64_t rows = count(), columns = count(), height = count(), width = count(), groups = below(4) ? 1 : count();
    const PatchOptions options{.stride = count(), .padding = below(2) ? 0 : count(), .dilation = below(2) ? 1 : count()};
    const ConvolutionOptions all{options.stride, options.padding, options.dilation, groups};
    const int kind = below(10);
    Tensor weight = other;
    if (below(4) && x.rank() == 4 && x.size(-1) < 100)
      weight = Tensor::zeros({1 + below(3), 1 + below(3), x.size(-1), 1 + below(3)}, DType::f64, Device::cpu);
    Wanted wanted;
    const auto over = [&](int64_t of_rows, int64_t of_columns) {
      if (x.rank() != 4) return;
      const auto down = windows_of(x.size(1), of_rows, options), across = windows_of(x.size(2), of_columns, options);
      if (down && across) wanted = Wide{x.size(0), *down, *across, x.size(3)};
    };
    if (kind == 0 && weight.rank() == 4 && groups > 0 && x.rank() == 4 &&
        x.size(3) == static_cast<__int128>(weight.size(2)) * groups && weight.size(3) % groups == 0) {
      over(weight.size(0), weight.size(1));
      if (wanted) wanted->back() = weight.size(3);
    }
    if (kind == 1) {
      over(rows, columns);
      if (wanted) wanted->back() = static_cast<__int128>(rows) * columns * x.size(3);
    }
    if (kind == 2 || kind == 3) over(rows, columns);
    if (kind == 4 && x.rank() == 4) wanted = Wide{x.size(0), height, width, x.size(3)};
    judge(
        text("windows ", kind, ' ', x.shape(), ' ', weight.shape(), ' ', rows, ' ', columns, ' ', height, ' ', width, ' ',
             options.stride, ' ', options.padding, ' ', options.dilation, ' ', groups),
        wanted, !is_small(x) || !is_small(weight),
        [&]() -> Tensor {
          switch (kind) {
            case 0: return conv2d(x, weight, all);
            case 1: return unfold(x, rows, columns, options);
            case 2: return max_pool2d(x, rows, columns, options);
            case 3: return average_pool2d(x, rows, columns, options);
            case 4: return adaptive_average_pool2d(x, height, width);
            case 5: conv1d(x, other, all); break;
            case 6: conv_transpose2d(x, weight, all, height); break;
            case 7: conv_transpose1d(x, other, all, height); break;
            case 8: conv2d_weight(x, other, rows, columns, all); break;
            default: fold(x, height, width, rows, columns, options); break;
          }
          throw Error("windows", "no shape is known of this one: it must not crash");
        },
        true);
  }

  void resamples() {
    const Tensor x = tensor();
    const int axis = any_axis(), at = place(axis, x.rank()), kind = below(5);
    const int64_t size = extent(), height = count(), width = count();
    Wanted wanted;
    if (kind == 0 && at >= 0) wanted = wide(x.shape()), (*wanted)[at] = size;
    if (kind == 1 && x.rank() == 4) wanted = Wide{x.size(0), height, width, x.size(3)};
    if (kind == 2 && x.rank() > 0) {
      wanted = wide(x.shape());
      wanted->back() = x.size(-1) / 2 + 1;
      wanted->push_back(2);
    }
    if (kind == 3 && x.rank() > 1 && x.size(-1) == 2 && size > 0 && x.size(-2) == size / 2 + 1) {
      wanted = wide(x.shape());
      wanted->pop_back();
      wanted->back() = size;
    }
    if (kind == 4 && x.rank() == 4 && height > 0 && x.size(3) % height == 0 && x.size(3) / height % height == 0)
      wanted = Wide{x.size(0), static_cast<__int128>(x.size(1)) * height, static_cast<__int128>(x.size(2)) * height,
                    x.size(3) / height / height};
    judge(
        text("resample ", kind, ' ', x.shape(), ' ', axis, ' ', size, ' ', height, ' ', width), wanted, !is_small(x),
        [&] {
          switch (kind) {
            case 0: return interpolate(x, axis, size);
            case 1: return bilinear(x, height, width);
            case 2: return rfft(x);
            case 3: return irfft(x, size);
            default: return pixel_shuffle(x, height);
          }
        },
        true);
  }
};

}  // namespace tapir
