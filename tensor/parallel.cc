#include "tensor/parallel.h"

#include <thread>

#include "tensor/error.h"

namespace tapir {
namespace {

int& thread_count() {
  static int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return count;
}

}  // namespace

void set_threads(int count) {
  require(count >= 1 && count <= 1024, "threads", [&] { return text("expected 1 to 1024, got ", count); });
  thread_count() = count;
}

int threads() { return thread_count(); }

}  // namespace tapir
