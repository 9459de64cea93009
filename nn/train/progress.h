// Progress of a run:  step 37/100  loss 6.1234  12345 tokens/s  3 min 07 s left      (or another unit)
// On a terminal one line that is rewritten; elsewhere (a file, a pipe) a plain line every ten seconds. Never colours.
#pragma once
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace tapir {

double steady_seconds();   // of the monotonic clock

class Progress {
 public:
  using Clock = std::function<double()>;   // seconds from any origin

  // `total`: steps of the whole run. `terminal`: whether `out` is one, as isatty(3) says. Rate and time left follow from
  // the steps that this object has seen, so a resumed run is not counted from its beginning.
  Progress(std::ostream& out, bool terminal, int64_t total, std::string unit = "token", Clock clock = steady_seconds);
  ~Progress();   // ends a line that is still open

  // After each step, which counted so many units.
  void update(int64_t step, double loss, int64_t units);

  // A line that stays, such as a validation result.
  void message(std::string_view line);

 private:
  std::string line_of(int64_t step, double loss, double now) const;
  void end_line();

  std::ostream& out_;
  bool terminal_;
  int64_t total_;
  std::string unit_;
  Clock clock_;
  double start_;
  double next_;            // earliest time of the next output
  int64_t steps_ = 0, units_ = 0;
  size_t open_width_ = 0;  // of the line on the terminal that is not ended
};

}  // namespace tapir
