// Axes of charts: where their ticks are, and where a number is between them.
#pragma once
#include <string>
#include <vector>

namespace tapir {

class Axis {
 public:
  // Of the numbers low … high, with up to 7 ticks as far as there is room for their names, whose letters are so wide. It ends at
  // ticks: multiples of 1, 2 or 5 times a power of ten; on a logarithmic axis these themselves, or decades alone. A linear one
  // starts at 0 where 0 < low < high / 2. At most ±1e100; on a logarithmic axis, 1e-100 … 1e100.
  Axis(bool logarithmic, double low, double high, double room, double letter);

  void put(double from, double to) { from_ = from, to_ = to; }   // the ends, on the page
  double at(double value) const;                                 // on the page

  const std::vector<double>& ticks() const { return ticks_; }
  const std::vector<std::string>& names() const { return names_; }   // of the ticks
  double name_width() const { return name_width_; }                  // of the longest

 private:
  void place_ticks(double low, double high, size_t most);

  bool logarithmic_;
  std::vector<double> ticks_;
  std::vector<std::string> names_;
  double name_width_ = 0, from_ = 0, to_ = 1;
};

}  // namespace tapir
