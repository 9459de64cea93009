#include "nn/train/signals.h"

#include <unistd.h>

#include <atomic>

namespace tapir {
namespace {

std::atomic<int> arrived{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void handle(int number) {
  int none = 0;
  if (!arrived.compare_exchange_strong(none, number) && number != SIGHUP) ::_exit(128 + number);
}

}  // namespace

StopSignals::StopSignals() {
  arrived = 0;
  struct sigaction action = {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;   // a file being written does not notice
  ::sigemptyset(&action.sa_mask);
  for (size_t k = 0; k < std::size(numbers); ++k) {
    ::sigaction(numbers[k], nullptr, &old_[k]);
    if (numbers[k] == SIGHUP && old_[k].sa_handler == SIG_IGN) continue;   // nohup: the run outlives its terminal
    ::sigaction(numbers[k], &action, nullptr);
  }
}

StopSignals::~StopSignals() {
  for (size_t k = 0; k < std::size(numbers); ++k) ::sigaction(numbers[k], &old_[k], nullptr);
}

int StopSignals::stop_requested() const { return arrived; }

}  // namespace tapir
