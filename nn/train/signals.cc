#include "nn/train/signals.h"

#include <unistd.h>

#include <atomic>

namespace tapir {
namespace {

std::atomic<int> arrived{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void handle(int number) {
  if (arrived.exchange(number) != 0) ::_exit(128 + number);
}

}  // namespace

StopSignals::StopSignals() {
  arrived = 0;
  struct sigaction action = {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;   // a file being written does not notice
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_interrupt_);
  ::sigaction(SIGTERM, &action, &old_terminate_);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
}

int StopSignals::stop_requested() const { return arrived; }

}  // namespace tapir
