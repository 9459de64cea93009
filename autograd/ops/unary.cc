// Functions of one number: y = f(x), dx = g f′(x). The functions are in tensor/scalar.h, each f with its df.
#include "autograd/ops/unary.h"

#include "tensor/scalar.h"

#include <limits>

#include "autograd/apply.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/chained.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

// The derivative of the given order: f, then df, then df of dual numbers.
template <class F, int order>
struct Value {
  F function;
  template <class T> HD T operator()(T x) const {
    if constexpr (order == 0) return function.f(x);
    else if constexpr (order == 1) return function.df(x, function.f(x));
    else {
      const Dual<T> dual{x, T(1)};
      return function.df(dual, function.f(dual)).d;
    }
  }
};

// The function in the form that is right for every x, and slower where there are two.
template <class F>
HD_INLINE auto everywhere(const F& function) {
  if constexpr (requires { typename F::OfAll; }) return typename F::OfAll{};
  else return function;
}

// 0 where y = f(x), or g f′(x), of F's own form is right: not finite, it may be 0 by nature (chained.h).
template <class F, class T>
HD_INLINE T doubt(T x, T y) {
  if constexpr (requires { typename F::OfAll; })
    return math::select(math::abs(x) > math::Format<T>::largest_angle, T(1), y - y);
  else return y - y;
}

// Loops without branches: kernels return their doubt. Operands are made dense: one loop for each function keeps the compile
// short.
template <class T, class F, int order>
struct ValueAt {
  F function;
  const T* x;
  T* y;
  HD T operator()(int64_t i) const { return doubt<F>(x[i], y[i] = Value<F, order>{function}(x[i])); }
  HD void again(int64_t i) const { y[i] = Value<decltype(everywhere(function)), order>{everywhere(function)}(x[i]); }
};

template <class T, class F>
struct BackwardAt {
  F function;
  const T *g, *x;
  T* dx;
  HD T operator()(int64_t i) const { return doubt<F>(x[i], dx[i] = g[i] * Value<F, 1>{function}(x[i])); }
  HD void again(int64_t i) const {
    dx[i] = chained(g[i], Value<decltype(everywhere(function)), 1>{everywhere(function)}(x[i]));
  }
};

template <class Kernel>
struct OnceOrAgain {
  Kernel kernel;
  HD void operator()(int64_t i) const {
    if (!(kernel(i) == 0)) kernel.again(i);
  }
};

// kernel(i) for all i < n, and kernel.again(i) where there is doubt.
template <class T, class Kernel>
void for_each_or_again(Device device, int64_t n, const Kernel& kernel) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::for_each(n, OnceOrAgain<Kernel>{kernel});
  for_each_range(n, elements_per_range, [&](int64_t begin, int64_t end) {
    const Kernel local = kernel;
    T doubts = 0;
#pragma omp simd reduction(+ : doubts)
    for (int64_t i = begin; i < end; ++i) doubts += local(i);
    if (doubts == 0) return;
    for (int64_t i = begin; i < end; ++i) OnceOrAgain<Kernel>{local}(i);
  });
}

}  // namespace

// With a graph the derivative is itself an op, of the next order; without one g f′(x) is a single loop. F's fields are the
// parameters of the function.
template <class F, int order>
struct Unary {
  static constexpr const char* name = F::name;
  F function{};
  Saved x{};

  Tensor forward(const Tensor& x_) {
    x = x_;
    const Tensor dense = x_.contiguous(), y = Tensor::empty(x_.shape(), x_.dtype(), x_.device());
    with_float(name, x_.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const ValueAt<T, F, order> value{function, dense.data<T>(), y.data<T>()};
      if constexpr (requires { typename F::OfAll; }) for_each_or_again<T>(y.device(), y.elements(), value);
      else for_each(y.device(), y.elements(), value);
    });
    return y;
  }

  Gradients backward(const Tensor& g_, const Backward& at) const {
    if constexpr (order == 2) {
      throw Error(name, "derivatives beyond the second are not available");
    } else {
      if (order > 0 || at.create_graph) return {chain(g_, apply(Unary<F, order + 1>{function}, *x))};
      const Tensor g = g_.contiguous(), dense = x->contiguous(), dx = Tensor::empty(g.shape(), g.dtype(), g.device());
      with_float(name, g.dtype(), [&](auto zero) {
        using T = decltype(zero);
        for_each_or_again<T>(g.device(), g.elements(), BackwardAt<T, F>{function, g.data<T>(), dense.data<T>(), dx.data<T>()});
      });
      return {dx};
    }
  }
};

Tensor neg(const Tensor& x) { return apply(Unary<scalar::Neg>{}, x); }
Tensor exp(const Tensor& x) { return apply(Unary<scalar::Exp>{}, x); }
Tensor log(const Tensor& x) { return apply(Unary<scalar::Log>{}, x); }
Tensor log1p(const Tensor& x) { return apply(Unary<scalar::Log1p>{}, x); }
Tensor expm1(const Tensor& x) { return apply(Unary<scalar::Expm1>{}, x); }
Tensor sqrt(const Tensor& x) { return apply(Unary<scalar::Sqrt>{}, x); }
Tensor rsqrt(const Tensor& x) { return apply(Unary<scalar::Rsqrt>{}, x); }
Tensor abs(const Tensor& x) { return apply(Unary<scalar::Abs>{}, x); }
Tensor square(const Tensor& x) { return apply(Unary<scalar::Square>{}, x); }
Tensor reciprocal(const Tensor& x) { return apply(Unary<scalar::Reciprocal>{}, x); }
Tensor sin(const Tensor& x) { return apply(Unary<scalar::Sin>{}, x); }
Tensor cos(const Tensor& x) { return apply(Unary<scalar::Cos>{}, x); }
Tensor tanh(const Tensor& x) { return apply(Unary<scalar::Tanh>{}, x); }
Tensor sigmoid(const Tensor& x) { return apply(Unary<scalar::Sigmoid>{}, x); }
Tensor softplus(const Tensor& x) { return apply(Unary<scalar::Softplus>{}, x); }
Tensor relu(const Tensor& x) { return apply(Unary<scalar::Relu>{}, x); }
Tensor gelu(const Tensor& x) { return apply(Unary<scalar::Gelu>{}, x); }
Tensor gelu_tanh(const Tensor& x) { return apply(Unary<scalar::GeluTanh>{}, x); }
Tensor silu(const Tensor& x) { return apply(Unary<scalar::Silu>{}, x); }
Tensor erf(const Tensor& x) { return apply(Unary<scalar::Erf>{}, x); }
Tensor log_sigmoid(const Tensor& x) { return apply(Unary<scalar::LogSigmoid>{}, x); }
Tensor mish(const Tensor& x) { return apply(Unary<scalar::Mish>{}, x); }
Tensor leaky_relu(const Tensor& x, Number slope) {
  require_in(interval::finite, scalar::LeakyRelu::name, "slope", slope);
  return apply(Unary<scalar::LeakyRelu>{{slope}}, x);
}
Tensor elu(const Tensor& x, Number alpha) {
  require_in(interval::finite, scalar::Elu::name, "alpha", alpha);
  return apply(Unary<scalar::Elu>{{alpha}}, x);
}
Tensor pow(const Tensor& x, Number exponent) {
  require_in(interval::finite, scalar::Pow::name, "exponent", exponent);
  return apply(Unary<scalar::Pow>{{exponent}}, x);
}

Tensor clamp(const Tensor& x, Number low, Number high) {
  require_in(interval::numbers, scalar::Clamp::name, "low", low);
  require_in(interval::numbers, scalar::Clamp::name, "high", high);
  require(low <= high, scalar::Clamp::name, [&] { return text("the lower bound ", low, " is above the upper, ", high); });
  return apply(Unary<scalar::Clamp>{{low, high}}, x);
}

Tensor finite(const Tensor& x) {
  require_same_kind("finite", {&x});
  const Called called("finite");
  const double largest = x.dtype() == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  return clamp(x, -largest, largest);
}

}  // namespace tapir
