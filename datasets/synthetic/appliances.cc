#include "datasets/synthetic/appliances.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "datasets/draws.h"
#include "tensor/error.h"

namespace tapir {
namespace {

constexpr int64_t K = std::size(appliances);

// Wave k of a window: its power is added to x (T), its states are elements k, k + K, … of `on`.
void add_wave(const Appliance& own, Draws draws, int64_t samples, double* x, uint8_t* on) {
  const auto drawn = [&](int64_t least, int64_t most) { return least + draws.below(most - least + 1); };
  const double power = draws.uniform(own.least_power, own.most_power);
  int64_t begin = -draws.below(own.longest_off + own.longest_on);   // of an interval; the first one is off
  for (bool is_on = false; begin < samples; is_on = !is_on) {
    const int64_t end = begin + (is_on ? drawn(own.shortest_on, own.longest_on) : drawn(own.shortest_off, own.longest_off));
    for (int64_t t = std::max<int64_t>(begin, 0); is_on && t < std::min(end, samples); ++t) {
      x[t] += power;
      on[t * K] = 1;
    }
    begin = end;
  }
}

}  // namespace

PowerWindows power_windows(std::string_view part, uint64_t seed, const std::vector<int64_t>& indices, int64_t samples,
                           double noise) {
  require(samples > 0 && noise >= 0 && std::isfinite(noise), "appliances",
          [&] { return text("expected samples and noise that is not negative, found ", samples, " and ", noise); });
  const auto rows = static_cast<int64_t>(indices.size());
  PowerWindows all{std::vector<double>(rows * samples), std::vector<uint8_t>(rows * samples * K)};
  for (int64_t row = 0; row < rows; ++row) {
    require(indices[row] >= 0 && indices[row] < int64_t{1} << 32, "appliances",
            [&] { return text("expected windows in [0, 2^32), found ", indices[row]); });
    const RandomKey key{.seed = seed, .step = static_cast<uint32_t>(indices[row]), .site = site_of(text("appliances ", part))};
    const auto draws = [&](int64_t stream) { return Draws(key, static_cast<uint64_t>(stream) << 32); };
    double* const x = all.power.data() + row * samples;
    for (int64_t k = 0; k < K; ++k) add_wave(appliances[k], draws(k), samples, x, all.on.data() + row * samples * K + k);
    Draws errors = draws(K);
    for (int64_t t = 0; t < samples; ++t) x[t] += noise * errors.normal();
  }
  return all;
}

}  // namespace tapir
