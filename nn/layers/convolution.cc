#include "nn/layers/convolution.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"

namespace tapir::nn {
namespace {

// Of a group; what it is given is checked before a shape is made of it.
int64_t inputs(const char* layer, int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options) {
  require(in >= 1 && out >= 1 && kernel >= 1, layer,
          [&] { return text("in, out and kernel must be at least 1, got ", in, ", ", out, " and ", kernel); });
  require(options.groups >= 1 && in % options.groups == 0 && out % options.groups == 0, layer,
          [&] { return text(in, " inputs and ", out, " outputs do not make ", options.groups, " groups"); });
  return in / options.groups;
}

Tensor with_bias(const Tensor& y, const Parameter* bias) { return bias ? add(y, bias->value) : y; }

}  // namespace

Init he_of_convolution(int64_t kernel, int64_t inputs) {
  return Init::normal(std::sqrt(2 / static_cast<double>(kernel * kernel * inputs)));
}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options, bool with_bias)
    : Conv2d(in, out, kernel, options, with_bias, Init::fan_in(kernel * kernel * inputs("conv2d", in, out, kernel, options)),
             Init::fan_in(kernel * kernel * inputs("conv2d", in, out, kernel, options))) {}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options, bool with_bias,
               const Init& weight_init, const Init& bias_init)
    : options(options),
      weight(parameter("weight", {kernel, kernel, inputs("conv2d", in, out, kernel, options), out}, ParameterKind::weight,
                       weight_init)),
      bias(with_bias ? &parameter("bias", {out}, ParameterKind::bias, bias_init) : nullptr) {}

Tensor Conv2d::forward(const Tensor& x) const {
  const Scope scope = enter();
  return leave(with_bias(conv2d(x, weight.value, options), bias), x);
}

Conv1d::Conv1d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options, bool with_bias)
    : Conv1d(in, out, kernel, options, with_bias, Init::fan_in(kernel * inputs("conv1d", in, out, kernel, options)),
             Init::fan_in(kernel * inputs("conv1d", in, out, kernel, options))) {}

Conv1d::Conv1d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options, bool with_bias,
               const Init& weight_init, const Init& bias_init)
    : options(options),
      weight(
          parameter("weight", {kernel, inputs("conv1d", in, out, kernel, options), out}, ParameterKind::weight, weight_init)),
      bias(with_bias ? &parameter("bias", {out}, ParameterKind::bias, bias_init) : nullptr) {}

Tensor Conv1d::forward(const Tensor& x) const {
  const Scope scope = enter();
  return leave(with_bias(conv1d(x, weight.value, options), bias), x);
}

}  // namespace tapir::nn
