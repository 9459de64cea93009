#include "attention/kernels/mix.h"

#include <algorithm>
#include <vector>

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/index.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

// What is not finite in y = A V is summed again, over what the mask allows.
template <class T> struct MixRow {
  const T *A, *V;
  T* y;
  int64_t keys, width;
  int64_t batch_step, head_step, key_step, step;   // of V, in elements
  MaskView mask;

  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    T* out = y + row * width;
    if (team.sum(width, [&](int64_t d) { return out[d] - out[d]; }) == T(0)) return;
    const int64_t head = row / mask.queries, t = row % mask.queries;
    const uint8_t* present = mask.present_in(row);
    const T *a = A + row * keys, *v = V + head / mask.heads * batch_step + head % mask.heads * head_step;
    team.each(width, [&](int64_t d) {
      if (out[d] - out[d] == T(0)) return;
      T sum = T(0);
      for (int64_t s = mask.first(t); s < mask.limit(t); ++s)
        if (!present || present[s]) sum += a[s] * v[s * key_step + d * step];
      out[d] = sum;
    });
  }
};

}  // namespace

struct Mix {
  static constexpr const char* name = "mix";
  SavedMask mask;
  Saved A{}, V{};

  Tensor forward(const Tensor& A_, const Tensor& V_) {
    require_same_kind(name, {&A_, &V_});
    require(A_.rank() == 4 && V_.rank() == 4 && A_.shape().with(2, 0).with(3, 0) == V_.shape().with(2, 0).with(3, 0) &&
                A_.size(3) == V_.size(2),
            name, [&] { return text("needs weights (B,H,T,S) and values (B,H,S,D), got ", A_.shape(), " and ", V_.shape()); });
    A = A_;
    V = V_;
    const Tensor dense = A_.contiguous(), y = matmul(A_, V_);
    with_float(name, y.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (y.elements() > 0)
        for_each_row(y.device(), y.elements() / y.size(3), y.size(3),
                     MixRow<T>{dense.data<T>(), V_.data<T>(), y.data<T>(), V_.size(2), V_.size(3), V_.stride(0), V_.stride(1),
                               V_.stride(2), V_.stride(3), view_of(name, *mask, A_.shape(), y.device())});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    return {at.needs(0) ? matmul(g, transpose(*V)) : Tensor(), at.needs(1) ? matmul(transpose(*A), g) : Tensor()};
  }
};
Tensor mix(const Tensor& A, const Tensor& V, const Mask& mask) {
  const Called called(Mix::name);
  return apply(Mix{mask.dense()}, A, V);
}

Tensor without_own(const Tensor& E, int64_t offset) {
  const Tensor ones = Tensor::full({E.size(-2), E.size(-1)}, 1, E.dtype(), E.device());
  const Tensor own = not_equal(triu(tril(ones, offset), offset), 0);
  return where(own, Tensor::full({}, below_all_scores, E.dtype(), E.device()), E);
}

Tensor in_reach(const Tensor& x, const Mask& mask) {
  const Tensor y = mask.causal ? tril(x, mask.offset) : x;
  return mask.window > 0 ? triu(tril(y, mask.offset + mask.window), mask.offset - mask.window) : y;
}

Tensor without_hidden(const Tensor& x, const Mask& mask) {
  if (!mask.keys.defined()) return x;
  require(x.rank() >= 3, "attention", [&] { return text("keys must be (B,…,S,C), got ", x.shape()); });
  const Shape wanted{x.size(0), x.size(-2)};
  require(mask.keys.dtype() == DType::u8 && mask.keys.shape() == wanted, "attention", [&] {
    return text("key mask must be u8", wanted, ", got ", mask.keys.dtype(), mask.keys.shape(), ", for keys ", x.shape());
  });
  Shape along{x.size(0)};
  while (along.rank() < x.rank() - 2) along.push_back(1);
  along.push_back(x.size(-2));
  along.push_back(1);
  return where(reshape(mask.keys, along), x, Tensor::zeros({}, x.dtype(), x.device()));
}

Tensor keys_there(const Mask& mask, int64_t S, const Tensor& like) {
  if (!mask.keys.defined()) return Tensor::full({1, 1, S, 1}, 1, like.dtype(), like.device());
  return reshape(not_equal(mask.keys, 0).to(like.dtype()), {mask.keys.size(0), 1, S, 1});
}

Tensor sum_to_each(const Tensor& x, int64_t T, const Mask& mask) {
  const int64_t S = x.size(-2);
  std::vector<int32_t> limits(T);
  for (int64_t t = 0; t < T; ++t)
    limits[t] = static_cast<int32_t>(mask.causal ? std::clamp<int64_t>(t + mask.offset + 1, 0, S) : S);
  return index_select(pad(cumsum(x, -2), -2, 1, 0), -2, Tensor::from(limits, {T}, x.device()));
}

}  // namespace tapir
