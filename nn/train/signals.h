// Ctrl-C (SIGINT) and SIGTERM while a run is under way: the first one asks the loop to finish its step, to save and to
// exit with 128 + signal (130, 143); a second one exits at once with that status.
#pragma once
#include <signal.h>

namespace tapir {

// Handles both signals while it lives and puts the old handlers back afterwards. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that has arrived since this was made, 0 if none.
  int stop_requested() const;

 private:
  struct sigaction old_interrupt_, old_terminate_;
};

}  // namespace tapir
