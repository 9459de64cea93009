#include "nn/layers/batch_norm.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/batch_norm.h"

namespace tapir::nn {

BatchNorm::BatchNorm(int64_t width, double epsilon, double momentum)
    : epsilon(epsilon), momentum(momentum), weight(parameter("weight", {width}, ParameterKind::gain, Init::constant(1))),
      bias(parameter("bias", {width}, ParameterKind::bias, Init::constant(0))),
      mean(buffer("running_mean", {width}, BufferKind::statistics, Init::constant(0))),
      variance(buffer("running_variance", {width}, BufferKind::statistics, Init::constant(1))) {
  require_in(interval::not_negative, "batch_norm", "epsilon", epsilon);
  require_in({0, 1}, "batch_norm", "momentum", momentum);
}

Tensor BatchNorm::forward(const Tensor& x, const Call& call) const {
  const Scope scope = enter();
  if (!call.training)
    return leave(batch_norm(x, weight.value, bias.value, mean.value, variance.value, -1, epsilon), x);
  const BatchNormed of = batch_norm(x, weight.value, bias.value, -1, epsilon);
  const double n = static_cast<double>(x.elements()) / static_cast<double>(x.size(-1));
  require(n > 1, "batch_norm", [&] { return text("training needs more than one value in each channel, got ", x.shape()); });
  const auto moved = [&](const Buffer& running, const Tensor& statistic, double scale) {
    return add(affine(call.read(running), 1 - momentum, 0), affine(statistic, momentum * scale, 0));
  };
  call.write(mean, moved(mean, of.mean, 1));
  call.write(variance, moved(variance, of.variance, n / (n - 1)));
  return leave(of.y, x);
}

}  // namespace tapir::nn
