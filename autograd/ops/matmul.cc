// Matrix products. Letters: y (M,N) = a (M,K) b (K,N), in front of which batch axes broadcast.
#include "autograd/ops/matmul.h"

#include "autograd/apply.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "tensor/elementwise.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"
#include "tensor/view.h"

namespace tapir {
namespace {

// Matrices as gemm reads them: rows or columns are dense.
struct Operand {
  Tensor tensor;        // keeps the memory alive
  int64_t leading = 0;  // distance of rows (of columns, if transposed)
  bool transposed = false;
};

// Strides of the last two axes that gemm can read without a copy.
bool dense_rows(const Tensor& x) {
  return (x.stride(-1) == 1 || x.size(-1) == 1) && (x.stride(-2) >= std::max<int64_t>(1, x.size(-1)) || x.size(-2) == 1);
}

// Strides of the batch axes of x expanded to `batch`.
Strides batch_strides(const Tensor& x, const Shape& batch) {
  Strides strides{};
  const int added = batch.rank() - (x.rank() - 2);
  for (int axis = added; axis < batch.rank(); ++axis)
    strides[axis] = x.size(axis - added) == 1 ? 0 : x.stride(axis - added);
  return strides;
}

Operand operand_of(const Tensor& x) {
  const Tensor turned = view::transpose(x, -2, -1);
  const bool transposed = !dense_rows(x) && dense_rows(turned);
  const Tensor tensor = transposed || dense_rows(x) ? x : x.copy();
  const Tensor rows = transposed ? view::transpose(tensor, -2, -1) : tensor;
  return {tensor, rows.size(-2) == 1 ? std::max<int64_t>(1, rows.size(-1)) : rows.stride(-2), transposed};
}

Tensor product(const char* op, const Tensor& a, const Tensor& b) {
  require_same_kind(op, {&a, &b});
  require(a.rank() >= 2 && b.rank() >= 2, op,
          [&] { return text("needs at least two axes: ", a.shape(), " and ", b.shape()); });
  require(a.size(-1) == b.size(-2), op, [&] { return text("inner sizes differ: ", a.shape(), " and ", b.shape()); },
          a.size(-1) == b.size(-1) ? "transpose the second" : "");
  Shape batch_a, batch_b;
  for (int axis = 0; axis + 2 < a.rank(); ++axis) batch_a.push_back(a.size(axis));
  for (int axis = 0; axis + 2 < b.rank(); ++axis) batch_b.push_back(b.size(axis));
  const Shape batch = broadcast(op, batch_a, batch_b, [&] {
    return text("batch axes do not broadcast: ", a.shape(), " and ", b.shape());
  });
  Shape shape = batch;
  shape.push_back(a.size(-2));
  shape.push_back(b.size(-1));
  if (b.rank() == 2 && a.rank() > 2)   // one matrix for the whole batch: one tall product
    return view::reshape(product(op, view::reshape(a, {batch.elements() * a.size(-2), a.size(-1)}), b), shape);

  const Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  const Operand left = operand_of(a), right = operand_of(b);
  // Batch axes that merge for both operands make one call of gemm; calls walk the axes that are left.
  const Geometry<3> walk(batch,
                         {row_major(y.shape()), batch_strides(left.tensor, batch), batch_strides(right.tensor, batch)});
  const int inner = walk.rank - 1;
  with_float(op, a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t calls = y.elements() == 0 ? 0 : batch.elements() / walk.extent[inner];
    for (int64_t call = 0; call < calls; ++call) {
      std::array<int64_t, 3> offset{};
      int64_t rest = call;
      for (int axis = inner - 1; axis >= 0; --axis) {
        for (int k = 0; k < 3; ++k) offset[k] += rest % walk.extent[axis] * walk.stride[axis][k];
        rest /= walk.extent[axis];
      }
      gemm(y.device(), MatrixProduct<T>{.batch = walk.extent[inner],
                            .m = a.size(-2),
                            .n = b.size(-1),
                            .k = a.size(-1),
                            .a = left.tensor.data<T>() + offset[1],
                            .lda = left.leading,
                            .stride_a = walk.stride[inner][1],
                            .transpose_a = left.transposed,
                            .b = right.tensor.data<T>() + offset[2],
                            .ldb = right.leading,
                            .stride_b = walk.stride[inner][2],
                            .transpose_b = right.transposed,
                            .c = y.data<T>() + offset[0],
                            .ldc = b.size(-1),
                            .stride_c = walk.stride[inner][0]});
    }
  });
  return y;
}

template <class T> struct AddBias {
  T* y;
  const T* bias;
  int64_t n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    T* a = y + row * n;
    team.each(n, [&](int64_t i) { a[i] += bias[i]; });
  }
};

// (…,C) as a matrix of rows.
Tensor rows_of(const Tensor& x) { return x.rank() == 2 ? x : reshape(x, {x.shape().with(-1, 1).elements(), x.size(-1)}); }

// Of x (…,I), weight (O,I) and bias (O), where there is one.
template <class... Bias>
void require_linear(const char* op, const Tensor& x, const Tensor& weight, const Bias&... bias) {
  require_same_kind(op, {&x, &weight, &bias...});
  require(x.rank() >= 1 && weight.rank() == 2 && x.size(-1) == weight.size(1) &&
              (true && ... && (bias.shape() == Shape{weight.size(0)})),
          op, [&] {
            return text("needs x (…,I), weight (O,I)", sizeof...(bias) ? ", bias (O)" : "", ", got ", x.shape(), ", ",
                        weight.shape(), text(", ", bias.shape())...);
          });
}

}  // namespace

// y = a b;  da = g bᵀ,  db = aᵀ g
struct Matmul {
  static constexpr const char* name = "matmul";
  static constexpr bool broadcasts = true;
  Saved a, b;
  Tensor forward(const Tensor& a_, const Tensor& b_) {
    a = a_;
    b = b_;
    return product(name, a_, b_);
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const bool tall = b->rank() == 2;   // then the batch axes belong to the rows
    return {at.needs(0) ? matmul(g, transpose(*b)) : Tensor(),
            !at.needs(1) ? Tensor() : tall ? matmul(transpose(rows_of(*a)), rows_of(g)) : matmul(transpose(*a), g)};
  }
};
Tensor matmul(const Tensor& a, const Tensor& b) { return apply(Matmul{}, a, b); }

// y = x Wᵀ + b;  dx = g W,  dW = gᵀ x,  db = Σ_rows g
struct Linear {
  static constexpr const char* name = "linear";
  Saved x, weight;
  Tensor forward(const Tensor& x_, const Tensor& weight_, const Tensor& bias) {
    require_linear(name, x_, weight_, bias);
    x = x_;
    weight = weight_;
    const Tensor rows = x_.rank() == 1 ? view::reshape(x_, {1, x_.size(0)}) : x_, dense = bias.contiguous();
    const Tensor product_of_rows = product(name, rows, view::transpose(weight_, 0, 1));
    const Tensor y = x_.rank() == 1 ? view::reshape(product_of_rows, {weight_.size(0)}) : product_of_rows;
    with_float(name, y.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const int64_t n = weight_.size(0);
      if (n > 0) for_each_row(y.device(), y.elements() / n, n, AddBias<T>{y.data<T>(), dense.data<T>(), n});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const Tensor rows = rows_of(g);
    return {at.needs(0) ? reshape(matmul(rows, *weight), x->shape()) : Tensor(),
            at.needs(1) ? matmul(transpose(rows), rows_of(*x)) : Tensor(),
            at.needs(2) ? sum_to(rows, {g.size(-1)}) : Tensor()};
  }
};
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) { return apply(Linear{}, x, weight, bias); }
Tensor linear(const Tensor& x, const Tensor& weight) {
  const Called called(Linear::name);
  require_linear(Linear::name, x, weight);
  if (x.rank() > 1) return matmul(x, transpose(weight));
  return reshape(matmul(rows_of(x), transpose(weight)), {weight.size(0)});
}

}  // namespace tapir
