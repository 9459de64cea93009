#include "tensor/blocks.h"

#include <vector>

namespace tapir {

void* scratch(int64_t bytes) {
  constexpr uintptr_t alignment = 64;
  thread_local std::vector<char> memory;
  if (memory.size() < static_cast<size_t>(bytes) + alignment) memory.resize(static_cast<size_t>(bytes) + alignment);
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + alignment - 1) / alignment * alignment);
}

}  // namespace tapir
