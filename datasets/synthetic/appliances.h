// The power that a home draws, and which of its appliances are on: what non-intrusive load monitoring tells apart. Appliance k
// is a square wave s_k ∈ {0, 1}, off and on by turns:
//
//   x_t = Σ_k P_k s_kt + noise ε_t,   ε normal
//
// Durations are uniform whole numbers, P_k is uniform for each window, and all of a window begins somewhere in the waves. Every
// number is a function of part, seed and the window's index.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace tapir {

struct Appliance {
  const char* name;
  double least_power, most_power;      // P, kW
  int64_t shortest_on, longest_on;     // samples, of 6 s
  int64_t shortest_off, longest_off;
};

// K = 4: two draw as much as each other, for times that differ.
inline constexpr Appliance appliances[] = {{"fridge", 0.08, 0.2, 50, 150, 60, 200},
                                           {"washer", 0.3, 0.8, 10, 60, 20, 300},
                                           {"microwave", 0.8, 1.4, 5, 40, 100, 600},
                                           {"dishwasher", 0.8, 1.4, 60, 180, 150, 900}};

// Of windows of T samples.
struct PowerWindows {
  std::vector<double> power;   // x (windows,T), kW
  std::vector<uint8_t> on;     // s (windows,T,K)
};

// Windows of a part by their indices, noise in kW. Shorter windows are the beginnings of longer ones. Throws Error for less
// than one sample, an index that is negative or 2³² or more, and noise that is negative or not finite.
PowerWindows power_windows(std::string_view part, uint64_t seed, const std::vector<int64_t>& indices, int64_t samples,
                           double noise);

}  // namespace tapir
