#include "nn/train/progress.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tensor/error.h"

namespace tapir {
namespace {

constexpr double terminal_interval = 0.1, plain_interval = 10;   // seconds

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(std::clamp(seconds, 0.0, 1e15) + 0.5);
  char shown[48];
  if (whole < 60) std::snprintf(shown, sizeof shown, "%lld s", whole);
  else if (whole < 3600) std::snprintf(shown, sizeof shown, "%lld min %02lld s", whole / 60, whole % 60);
  else std::snprintf(shown, sizeof shown, "%lld h %02lld min", whole / 3600, whole % 3600 / 60);
  return shown;
}

}  // namespace

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Progress::Progress(std::ostream& out, bool terminal, int64_t total, std::string unit, Clock clock)
    : out_(out), terminal_(terminal), total_(total), unit_(std::move(unit)), clock_(std::move(clock)), start_(clock_()), next_(start_) {}

Progress::~Progress() { end_line(); }

void Progress::update(int64_t step, double loss, int64_t units) {
  ++steps_;
  units_ += units;
  const double now = clock_();
  if (now < next_ && step < total_) return;
  next_ = now + (terminal_ ? terminal_interval : plain_interval);
  const std::string line = line_of(step, loss, now);
  if (!terminal_) {
    out_ << line << std::endl;
    return;
  }
  const size_t rest = open_width_ - std::min(open_width_, line.size());   // blanks cover what a longer line left
  out_ << '\r' << line << std::string(rest, ' ') << std::flush;
  open_width_ = line.size();
  if (step >= total_) end_line();
}

void Progress::message(std::string_view line) {
  end_line();
  out_ << line << std::endl;
}

std::string Progress::line_of(int64_t step, double loss, double now) const {
  const double elapsed = std::max(now - start_, 1e-9);
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, "  loss %.4f  %.0f ", loss, static_cast<double>(units_) / elapsed);
  const double per_step = elapsed / static_cast<double>(steps_);
  const std::string time = step < total_ ? duration(per_step * static_cast<double>(total_ - step)) + " left"
                                         : "took " + duration(elapsed);
  return text("step ", step, '/', total_, numbers, unit_, "s/s  ", time);
}

void Progress::end_line() {
  if (open_width_ > 0) out_ << std::endl;
  open_width_ = 0;
}

}  // namespace tapir
