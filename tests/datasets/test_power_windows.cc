// Windows of power: against another reading in Python, the law of their waves and of their noise, and what they depend on.
#include <doctest/doctest.h>

#include <cmath>
#include <iterator>
#include <numeric>

#include "datasets/synthetic/appliances.h"
#include "tests/golden_file.h"
#include "tests/messages.h"

using namespace tapir;
using Indices = std::vector<int64_t>;

namespace {

constexpr int64_t K = std::size(appliances);

Indices first(int64_t windows) {
  Indices all(static_cast<size_t>(windows));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

struct Interval {
  bool on;
  int64_t samples;
  bool whole;   // both ends are seen
};

std::vector<Interval> intervals_of(const PowerWindows& all, int64_t row, int64_t samples, int64_t k) {
  std::vector<Interval> found;
  for (int64_t t = 0; t < samples; ++t) {
    const bool on = all.on[(row * samples + t) * K + k] != 0;
    if (found.empty() || found.back().on != on) found.push_back({on, 0, t > 0});
    ++found.back().samples;
  }
  found.back().whole = false;
  return found;
}

}  // namespace

TEST_CASE("power windows: the windows that another reading in Python makes of the same random bits") {
  const nlohmann::json golden = golden_file("appliances.json");
  for (const auto& window : golden.at("windows")) {
    const auto samples = window.at("samples").get<int64_t>();
    const PowerWindows own = power_windows(window.at("part").get<std::string>(), window.at("seed").get<uint64_t>(),
                                           {window.at("index").get<int64_t>()}, samples, 0);
    std::vector<double> power(static_cast<size_t>(samples));
    for (int64_t k = 0; k < K; ++k) {
      const auto& recorded = window.at("appliances").at(static_cast<size_t>(k));
      std::vector<uint8_t> on(static_cast<size_t>(samples));
      for (const auto& edge : recorded.at("edges"))
        for (auto t = edge.get<size_t>(); t < on.size(); ++t) on[t] ^= 1;
      for (size_t t = 0; t < on.size(); ++t) {
        CHECK(own.on[t * K + static_cast<size_t>(k)] == on[t]);
        power[t] += on[t] * recorded.at("power").get<double>();
      }
    }
    for (size_t t = 0; t < power.size(); ++t) CHECK(std::fabs(own.power[t] - power[t]) < 1e-15);
  }
}

TEST_CASE("power windows: durations and powers keep to their ranges and reach both ends of them") {
  constexpr int64_t rows = 300, samples = 3000;
  const PowerWindows all = power_windows("train", 3, first(rows), samples, 0);
  for (int64_t k = 0; k < K; ++k) {
    const Appliance& own = appliances[k];
    CAPTURE(own.name);
    int64_t shortest[2] = {samples, samples}, longest[2] = {0, 0};
    double on = 0;
    for (int64_t row = 0; row < rows; ++row)
      for (const Interval& one : intervals_of(all, row, samples, k)) {
        longest[one.on] = std::max(longest[one.on], one.samples);
        if (one.whole) shortest[one.on] = std::min(shortest[one.on], one.samples);
        if (one.on) on += static_cast<double>(one.samples) / (rows * samples);
      }
    CHECK(shortest[1] == own.shortest_on);
    CHECK(longest[1] == own.longest_on);
    CHECK((shortest[0] >= own.shortest_off && shortest[0] <= own.shortest_off + 10));
    CHECK((longest[0] <= own.longest_off && longest[0] >= own.longest_off - 10));
    const auto cycle = static_cast<double>(own.shortest_on + own.longest_on + own.shortest_off + own.longest_off);
    CHECK(on == doctest::Approx(static_cast<double>(own.shortest_on + own.longest_on) / cycle).epsilon(0.05));
  }
}

TEST_CASE("power windows: the power is that of the appliances that are on, one level each, and normal noise") {
  constexpr int64_t rows = 40, samples = 480;
  const PowerWindows clean = power_windows("valid", 0, first(rows), samples, 0),
                     noisy = power_windows("valid", 0, first(rows), samples, 0.05);
  CHECK(noisy.on == clean.on);
  double mean = 0, square = 0, fourth = 0, next = 0;
  for (size_t i = 0; i < clean.power.size(); ++i) {
    double least = 0, most = 0;
    for (int64_t k = 0; k < K; ++k)
      if (clean.on[i * K + static_cast<size_t>(k)]) {
        least += appliances[k].least_power;
        most += appliances[k].most_power;
      }
    CHECK((clean.power[i] >= least && clean.power[i] <= most));
    const double error = (noisy.power[i] - clean.power[i]) / 0.05;
    mean += error;
    square += error * error;
    fourth += std::pow(error, 4);
    if (i > 0) next += error * (noisy.power[i - 1] - clean.power[i - 1]) / 0.05;
  }
  const auto n = static_cast<double>(clean.power.size());   // 19,200
  CHECK(std::fabs(mean / n) < 0.03);
  CHECK(square / n == doctest::Approx(1).epsilon(0.04));
  CHECK(fourth / n == doctest::Approx(3).epsilon(0.1));
  CHECK(std::fabs(next / n) < 0.03);
  for (int64_t row = 0; row < rows; ++row) {   // an edge of one appliance alone has its power
    std::vector<double> step(K, 0);
    for (int64_t t = 1; t < samples; ++t) {
      int64_t changed = 0, which = 0;
      for (int64_t k = 0; k < K; ++k) {
        const uint8_t* const on = clean.on.data() + (row * samples + t) * K + k;
        if (*on != *(on - K)) ++changed, which = k;
      }
      if (changed != 1) continue;
      const double size = std::fabs(clean.power[row * samples + t] - clean.power[row * samples + t - 1]);
      if (step[which] > 0) CHECK(size == doctest::Approx(step[which]).epsilon(1e-12));
      step[which] = size;
    }
  }
}

TEST_CASE("power windows: a window is a function of part, seed and index, and a shorter one its beginning") {
  const PowerWindows few = power_windows("train", 1, {5, 2}, 480, 0.05), many = power_windows("train", 1, first(6), 480, 0.05);
  const auto row = [](const PowerWindows& all, int64_t r, int64_t of, int64_t samples) {
    return std::vector<double>(all.power.begin() + r * of, all.power.begin() + r * of + samples);
  };
  CHECK(row(few, 0, 480, 480) == row(many, 5, 480, 480));
  CHECK(row(few, 1, 480, 480) == row(many, 2, 480, 480));
  CHECK(row(power_windows("train", 1, {5}, 100, 0.05), 0, 100, 100) == row(few, 0, 480, 100));
  CHECK(row(many, 2, 480, 480) != row(many, 5, 480, 480));
  for (const PowerWindows& other : {power_windows("train", 2, {5}, 480, 0.05), power_windows("valid", 1, {5}, 480, 0.05)})
    CHECK(other.on != power_windows("train", 1, {5}, 480, 0.05).on);
}

TEST_CASE("power windows: what is no window is refused") {
  CHECK(message_of([] { power_windows("train", 1, {0}, 0, 0.1); }) ==
        "appliances: expected samples and noise that is not negative, found 0 and 0.1");
  CHECK(message_of([] { power_windows("train", 1, {0}, 480, -1); }) ==
        "appliances: expected samples and noise that is not negative, found 480 and -1");
  for (const int64_t index : {int64_t{-1}, int64_t{1} << 32})
    CHECK(message_of([&] { power_windows("train", 1, {index}, 480, 0); }) ==
          text("appliances: expected windows in [0, 2^32), found ", index));
}
