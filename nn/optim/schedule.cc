#include "nn/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tapir::nn {

double Schedule::at(int64_t step, int64_t steps) const {
  if (step < warmup) return rate * static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double u =
      std::clamp(static_cast<double>(step - warmup) / static_cast<double>(std::max<int64_t>(1, steps - warmup)), 0.0, 1.0);
  if (shape == "cosine") return rate * (floor + (1 - floor) * (1 + std::cos(std::numbers::pi * u)) / 2);
  if (shape == "linear") return rate * (1 - (1 - floor) * u);
  if (shape == "wsd") {
    const double decay_steps = decay_share * static_cast<double>(steps), left = static_cast<double>(steps - step);
    return left < decay_steps ? rate * (1 - (1 - floor) * (1 - left / decay_steps)) : rate;
  }
  if (shape == "inverse_sqrt")
    return rate * std::sqrt(static_cast<double>(std::max<int64_t>(1, warmup)) / static_cast<double>(step + 1));
  return rate;
}

}  // namespace tapir::nn
