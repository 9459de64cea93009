#include "nn/models/implicit.h"

#include <cmath>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"

namespace tapir::nn {
namespace {

Tensor kernel_of(const std::string& kernel, const Tensor& z) {
  if (kernel == "polynomial") return square(affine(z, 1, 1));
  if (kernel == "gaussian") return exp(affine(square(z), -0.5, 0));
  return kernel == "laplacian" ? exp(neg(abs(z))) : z;
}

Tensor waves_of(const Tensor& z, int64_t frequencies) {   // (…,I) → (…,2LI)
  std::vector<Tensor> waves;
  for (int64_t r = 0; r < frequencies; ++r) {
    const Tensor angle = affine(z, std::ldexp(std::numbers::pi, static_cast<int>(r)), 0);
    waves.insert(waves.end(), {sin(angle), cos(angle)});
  }
  return concat(waves, -1);
}

Tensor activated(const std::string& activation, double omega, const Tensor& z) {
  if (activation == "relu") return relu(z);
  if (activation == "sine") return sin(affine(z, omega, 0));
  const Tensor factor = affine(abs(z), omega, omega);
  return sin(mul(activation == "finer" ? factor : factor.detach(), z));
}

}  // namespace

Implicit::Implicit(const ImplicitOptions& options, int64_t inputs, int64_t outputs, const std::vector<double>& mean)
    : options_((require_allowed("implicit", options), options)) {
  const bool waves = options.activation != "relu";
  int64_t in = options.encoding == "positional" ? 2 * options.frequencies * inputs : inputs;
  for (int64_t layer = 0; layer <= options.layers; ++layer) {
    const int64_t out = layer == options.layers ? outputs : options.width;
    const auto fan = static_cast<double>(in);
    const Init weight = !waves ? Init::fan_in(in) : Init::uniform(layer == 0 ? 1 / fan : std::sqrt(6 / fan) / options.omega);
    const Init bias = layer == 0 && options.first_bias > 0 ? Init::uniform(options.first_bias) : Init::fan_in(in);
    layers_.push_back(&child<Linear>(text("layers.", layer), in, out, true, weight, bias));
    in = out;
  }
  if (options.shift == "none") return;
  require(static_cast<int64_t>(mean.size()) == outputs, "implicit",
          [&] { return text("shift = 'mean' needs the mean of ", outputs, " outputs, and knows ", mean.size()); },
          "a task that knows what is learned before it trains has it, such as picture");
  shift_ = &buffer("shift", {outputs}, BufferKind::memory, Init::values(mean));
}

Tensor Implicit::forward(const Tensor& x) const {
  const Scope scope = enter();
  Tensor h = kernel_of(options_.kernel, affine(x, options_.scale, 0));
  if (options_.encoding == "positional") h = waves_of(h, options_.frequencies);
  for (const Linear* layer : layers_) {
    const Tensor z = layer->forward(h);
    if (layer == layers_.back()) h = shift_ ? add(z, shift_->value) : z;
    else h = activated(options_.activation, layer == layers_.front() ? options_.first_omega : options_.omega, z);
  }
  return leave(h, x);
}

}  // namespace tapir::nn
