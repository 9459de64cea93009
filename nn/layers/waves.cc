#include "nn/layers/waves.h"

#include <cmath>

namespace tapir::nn {

std::vector<double> wave_vector(int64_t place, int64_t width) {
  std::vector<double> waves(width);
  for (int64_t c = 0; c < width; ++c) {
    const double angle =
        static_cast<double>(place) / std::pow(10000.0, static_cast<double>(c / 2 * 2) / static_cast<double>(width));
    waves[c] = c % 2 ? std::cos(angle) : std::sin(angle);
  }
  return waves;
}

}  // namespace tapir::nn
