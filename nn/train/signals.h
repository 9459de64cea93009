// Ctrl-C (SIGINT), SIGTERM and a closed terminal (SIGHUP) while a run is under way: the first one asks the loop to finish its
// step, to save and to exit with 128 + signal (130, 143, 129); a second one exits at once with that status, but for SIGHUP,
// which a closed terminal sends more than once. Where SIGHUP is ignored, as under nohup, it stays so.
#pragma once
#include <signal.h>

#include <cstddef>
#include <iterator>

namespace tapir {

// Handles these signals while it lives and puts the old handlers back afterwards. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that has arrived since this was made, 0 if none.
  int stop_requested() const;

 private:
  static constexpr int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction old_[std::size(numbers)];
};

}  // namespace tapir
