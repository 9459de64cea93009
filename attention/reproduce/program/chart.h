// Line charts as SVG, of the numbers that they are given and of nothing else: equal charts have equal bytes.
#pragma once
#include <string>
#include <vector>

namespace tapir {

struct Series {
  std::string label;
  std::vector<double> x, y;            // of equal length, no x smaller than the one before
  std::vector<double> low, high;       // band; empty: none
  bool steps = false;                  // constant between points, as survival curves are
};

inline constexpr size_t most_series = 8;   // as many colours as can be told apart

struct Chart {
  std::string title, x_title, y_title;
  bool log_x = false, log_y = false;
  std::vector<Series> series;          // at most most_series
};

// A document of 520 × 340, light or dark as its reader's screen is, with the colours of the report. Axes end at ticks; a linear
// one starts at 0 where the smallest number is less than half of the largest. Each curve has its label at its end. Words
// that would not fit end with "…"; the whole ones, and where each curve begins and ends, are in <title> and <desc>.
// Throws Error for a chart without series or with more than most_series, and for a series without points, with lengths that
// differ, an x that is smaller than the one before, a band whose low is above its high, or a number that is not finite or
// beyond ±1e100; on a logarithmic axis, one below 1e-100. Nothing is left out: who lacks a number draws what there is.
std::string svg(const Chart& chart);

}  // namespace tapir
