#include "attention/biases/fire.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

constexpr int64_t units = 32;
constexpr double unit_of_threshold = 512, epsilon = 1e-6;

}  // namespace

Fire::Fire(int64_t heads)
    : c(parameter("c", {1}, nn::ParameterKind::gain, nn::Init::constant(0.1))),
      threshold(parameter("threshold", {1}, nn::ParameterKind::gain, nn::Init::constant(1))),
      hidden(child<nn::Linear>("hidden", 1, units, true, nn::Init::fan_in(1), nn::Init::fan_in(1))),
      out(child<nn::Linear>("out", units, heads, true, nn::Init::fan_in(units), nn::Init::fan_in(units))) {}

Tensor Fire::forward(const Tensor& E, int64_t offset) const {
  const Scope scope = enter();
  const int64_t T = E.size(2), S = E.size(3);
  std::vector<double> places;
  for (int64_t t = 0; t < T; ++t) places.push_back(static_cast<double>(offset + t));
  const Tensor t = Tensor::from(places, {T, 1}, E.device()).to(E.dtype());
  const Tensor L = affine(abs(threshold.value), unit_of_threshold, 0);
  const auto psi = [&](const Tensor& x) { return log1p(mul(abs(c.value), x)); };
  const Tensor share = div(psi(distances(E, offset)), affine(psi(maximum(t, L)), 1, epsilon));
  return leave(permute(out.forward(relu(hidden.forward(reshape(share, {T, S, 1})))), {2, 0, 1}), E);
}

}  // namespace tapir
