// Functions of one number (tensor/scalar.h).
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

Tensor neg(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor log1p(const Tensor& x);                                                // log(1 + x)
Tensor expm1(const Tensor& x);                                                // eˣ − 1
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);                                                // 1/√x
Tensor abs(const Tensor& x);                                                  // derivative 0 at 0
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);                                           // 1/x
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);                                              // 1/(1 + e⁻ˣ)
Tensor softplus(const Tensor& x);                                             // log(1 + eˣ)
Tensor relu(const Tensor& x);                                                 // max(x, 0), derivative 0 at 0
Tensor gelu(const Tensor& x);                                                 // x Φ(x), Φ the normal distribution
Tensor gelu_tanh(const Tensor& x);                                            // its approximation by tanh
Tensor silu(const Tensor& x);                                                 // x sigmoid(x)
Tensor erf(const Tensor& x);
Tensor log_sigmoid(const Tensor& x);                                          // −log(1 + e⁻ˣ)
Tensor mish(const Tensor& x);                                                 // x tanh(softplus(x))
Tensor leaky_relu(const Tensor& x, Number slope = 0.01);                      // x where x > 0, else slope x; slope at 0
Tensor elu(const Tensor& x, Number alpha = 1);                                // x where x > 0, else α (eˣ − 1); α at 0
Tensor clamp(const Tensor& x, Number low, Number high);                       // bounds may be infinite; derivative 1 there
Tensor pow(const Tensor& x, Number exponent);                                 // xᵖ; NaN for x < 0 unless p is whole; x⁰ = 1
Tensor finite(const Tensor& x);                                               // ±∞ as the largest numbers of the type

namespace scalar {
struct Neg;
struct Exp;
struct Log;
struct Log1p;
struct Expm1;
struct Sqrt;
struct Rsqrt;
struct Abs;
struct Square;
struct Reciprocal;
struct Sin;
struct Cos;
struct Tanh;
struct Sigmoid;
struct Softplus;
struct Relu;
struct Gelu;
struct GeluTanh;
struct Silu;
struct Erf;
struct LogSigmoid;
struct Mish;
struct LeakyRelu;
struct Elu;
struct Clamp;
struct Pow;
}  // namespace scalar

template <class F, int order = 0> struct Unary;
using UnaryOps = OpList<Unary<scalar::Neg>, Unary<scalar::Exp>, Unary<scalar::Log>, Unary<scalar::Log1p>,
                        Unary<scalar::Expm1>, Unary<scalar::Sqrt>, Unary<scalar::Rsqrt>, Unary<scalar::Abs>,
                        Unary<scalar::Square>, Unary<scalar::Reciprocal>, Unary<scalar::Sin>, Unary<scalar::Cos>,
                        Unary<scalar::Tanh>, Unary<scalar::Sigmoid>, Unary<scalar::Softplus>, Unary<scalar::Relu>,
                        Unary<scalar::Gelu>, Unary<scalar::GeluTanh>, Unary<scalar::Silu>, Unary<scalar::Erf>,
                        Unary<scalar::LogSigmoid>, Unary<scalar::Mish>, Unary<scalar::LeakyRelu>, Unary<scalar::Elu>,
                        Unary<scalar::Clamp>, Unary<scalar::Pow>>;
template <class F, int order> inline constexpr bool is_listed<Unary<F, order>> = contains<Unary<F>, UnaryOps>;

}  // namespace tapir
