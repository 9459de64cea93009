#include "tensor/blocks.h"

#include <memory>
#include <new>

namespace tapir {

void* scratch(int64_t bytes) {
  constexpr std::align_val_t alignment{64};
  const auto release = [](void* memory) { ::operator delete(memory, alignment); };
  thread_local std::unique_ptr<void, decltype(release)> memory(nullptr, release);
  thread_local int64_t held = 0;
  if (bytes > held) {
    memory.reset(::operator new(static_cast<size_t>(bytes), alignment));
    held = bytes;
  }
  return memory.get();
}

}  // namespace tapir
