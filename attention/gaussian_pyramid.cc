#include "attention/gaussian_pyramid.h"

#include <cmath>
#include <numeric>

#include "attention/kernels/mix.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/shape.h"

namespace tapir {
namespace {

// A kernel (…,1,1), the same for each channel of x: (…,1,C), as a depthwise convolution takes it.
Tensor for_channels(const std::vector<double>& numbers, const Shape& kernel, const Tensor& x) {
  return expand(Tensor::from(numbers, kernel, Device::cpu).to(x.dtype()).to(x.device()), kernel.with(-1, x.size(-1)));
}

}  // namespace

std::vector<double> gaussian(int64_t level) {
  const auto i = static_cast<double>(level), deviation = 1.6 * std::exp2(i / 3);
  std::vector<double> g;
  for (int64_t place = -level - 1; place <= level + 1; ++place)
    g.push_back(std::exp(-0.5 * std::pow(static_cast<double>(place) / deviation, 2)));
  const double total = std::accumulate(g.begin(), g.end(), 0.0);
  for (double& one : g) one /= total;
  return g;
}

Tensor blurred(const Tensor& x, int64_t level, const nn::Places& places, const Mask& mask) {
  const int64_t B = x.size(0), S = x.size(1), C = x.size(2), k = 2 * level + 3;
  const std::vector<double> g = gaussian(level);
  const ConvolutionOptions same{.padding = level + 1, .groups = C};
  const Tensor seen = without_hidden(x, mask);
  if (!places.on_grid()) return without_hidden(conv1d(seen, for_channels(g, {k, 1, 1}, x), same), mask);
  std::vector<double> square;
  for (const double row : g)
    for (const double column : g) square.push_back(row * column);
  const int64_t alone = places.class_tokens, cells = S - alone;
  const Tensor image = reshape(slice(seen, 1, alone, cells), {B, places.rows, places.columns, C});
  const Tensor y = reshape(conv2d(image, for_channels(square, {k, k, 1, 1}, x), same), {B, cells, C});
  return without_hidden(alone ? concat({slice(seen, 1, 0, alone), y}, 1) : y, mask);
}

}  // namespace tapir
