#include "datasets/synthetic/regions.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "datasets/draws.h"
#include "tensor/error.h"

namespace tapir {
namespace {

constexpr double two_pi = 2 * std::numbers::pi;

struct Wave {
  double x, y, phase;   // radians a pixel, to the right and downwards
};

std::vector<Wave> texture(double frequency, Draws& draws) {
  const bool grating = draws.below(2) == 0;
  std::vector<Wave> waves(grating ? 1 : 16);
  for (Wave& wave : waves) {
    const double angle = draws.uniform(0, two_pi), size = two_pi * frequency * (grating ? 1 : draws.uniform(0.9, 1.1));
    wave = {size * std::cos(angle), size * std::sin(angle), draws.uniform(0, two_pi)};
  }
  return waves;
}

struct Region {
  double x, y;   // its point
  int32_t label;
  std::vector<Wave> waves;
};

std::vector<Region> regions_of(const RegionSpec& spec, Draws& draws) {
  std::vector<int32_t> labels(spec.classes);
  for (int64_t k = 0; k < spec.classes; ++k) labels[k] = static_cast<int32_t>(k);
  std::vector<Region> regions(2 + draws.below(spec.regions - 1));
  for (size_t i = 0; i < regions.size(); ++i) {
    std::swap(labels[i], labels[i + draws.below(spec.classes - static_cast<int64_t>(i))]);
    const auto side = static_cast<double>(spec.size);
    const double x = draws.uniform(0, side), y = draws.uniform(0, side);
    regions[i] = {x, y, labels[i], texture(region_frequency(spec, labels[i]), draws)};
  }
  return regions;
}

}  // namespace

double region_frequency(const RegionSpec& spec, int64_t label) {
  return std::pow(16.0 / 3, static_cast<double>(label) / static_cast<double>(spec.classes - 1)) / 16;
}

RegionImage region_image(const RegionSpec& spec, const RandomKey& key) {
  require(spec.size > 0 && spec.classes >= 2 && spec.regions >= 2 && spec.regions <= spec.classes && spec.noise >= 0, "regions", [&] {
    return text("needs pixels, and 2 classes or more for 2 … classes regions, got size ", spec.size, ", ", spec.classes,
                " classes, ", spec.regions, " regions, noise ", spec.noise);
  });
  Draws draws(key, 0);
  const std::vector<Region> regions = regions_of(spec, draws);
  RegionImage image;
  for (int64_t row = 0; row < spec.size; ++row)
    for (int64_t column = 0; column < spec.size; ++column) {
      const auto x = static_cast<double>(column), y = static_cast<double>(row);
      const Region& region = *std::min_element(regions.begin(), regions.end(), [&](const Region& a, const Region& b) {
        return std::hypot(a.x - x, a.y - y) < std::hypot(b.x - x, b.y - y);
      });
      double value = 0;
      for (const Wave& wave : region.waves) value += std::cos(wave.x * x + wave.y * y + wave.phase);
      value *= std::sqrt(2 / static_cast<double>(region.waves.size()));
      const double widest = spec.noise * std::numbers::sqrt3;   // uniform in ±√3 σ has the deviation σ
      image.pixels.push_back(static_cast<float>(value + draws.uniform(-widest, widest)));
      image.labels.push_back(region.label);
    }
  return image;
}

}  // namespace tapir
