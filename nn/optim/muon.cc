#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "nn/optim/optimiser.h"
#include "tensor/parallel.h"

namespace tapir::nn {
namespace {

bool is_hidden_matrix(ParameterKind kind, const Shape& shape) { return kind == ParameterKind::weight && shape.rank() >= 2; }

// m ← μ m + (1 − μ) g,  G = (1 − μ) g + μ m
template <class T> struct MomentumElement {
  T *m, *G;
  const T* gradient;
  const double* scale;
  T momentum;
  HD void operator()(int64_t i) const {
    const T g = static_cast<T>(*scale) * gradient[i];
    m[i] = momentum * m[i] + (T(1) - momentum) * g;
    G[i] = (T(1) - momentum) * g + momentum * m[i];
  }
};

template <class T> struct DescentElement {   // θ ← keep θ − rate X
  T* value;
  const T* X;
  T keep, rate;
  HD void operator()(int64_t i) const { value[i] = keep * value[i] - rate * X[i]; }
};

// Near U Vᵀ of each matrix G = U Σ Vᵀ (…,M,N): singular values between about 0.7 and 1.2, but for those near 0. The quintic
// and its coefficients are Jordan's, chosen for the steepest slope at 0.
Tensor orthogonalised(const Tensor& G) {
  const bool tall = G.size(-2) > G.size(-1);
  Tensor X = tall ? transpose(G) : G;
  const Tensor length = norm(reshape(G, {-1, G.size(-2) * G.size(-1)}), 2, 1);
  X = div(X, affine(reshape(length, G.shape().with(-2, 1).with(-1, 1)), 1, 1e-7));
  for (int step = 0; step < 5; ++step) {
    const Tensor A = matmul(X, transpose(X));
    const Tensor B = add(affine(A, -4.7750, 0), affine(matmul(A, A), 2.0315, 0));
    X = add(affine(X, 3.4445, 0), matmul(B, X));
  }
  return (tall ? transpose(X) : X).contiguous();
}

}  // namespace

Muon::Muon(Module& model, const MuonOptions& options)
    : AdamW("muon", model, options,
            [](const Parameter& parameter) {
              const bool hidden = is_hidden_matrix(parameter.kind, parameter.shape);
              return hidden ? std::vector<std::string>{"m"} : std::vector<std::string>{"m", "v"};
            }),
      options_(options) {
  require_allowed("muon", options);
}

void Muon::update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) {
  std::vector<Update> others;
  for (const Update& one : updates) {
    if (is_hidden_matrix(one.slot.kind, one.value.shape())) update_matrix(one, rate, gradient_scale);
    else others.push_back(one);
  }
  if (!others.empty()) AdamW::update(others, options_.adamw_rate * rate, gradient_scale);
}

void Muon::update_matrix(const Update& one, double rate, const Tensor& gradient_scale) const {
  const Tensor& value = one.value;
  const Tensor G = Tensor::empty(value.shape(), value.dtype(), value.device());
  const double tallness = static_cast<double>(value.size(-2)) / static_cast<double>(value.size(-1));
  with_float("muon", value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each(value.device(), value.elements(),
             MomentumElement<T>{one.slot.state[0].data<T>(), G.data<T>(), one.g.data<T>(),
                                gradient_scale.data<double>(), static_cast<T>(options_.momentum)});
    const Tensor X = orthogonalised(G);
    for_each(value.device(), value.elements(),
             DescentElement<T>{value.data<T>(), X.data<T>(), static_cast<T>(1 - rate * options_.decay),
                               static_cast<T>(rate * std::sqrt(std::max(1.0, tallness)))});
  });
}

}  // namespace tapir::nn
