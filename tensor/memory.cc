#include "tensor/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "tensor/cuda.h"

namespace tapir {

void* take_from_system(Device device, int64_t bytes) {
  if (device == Device::cuda) return cuda::take(bytes);
  constexpr int64_t huge_page = int64_t{2} << 20;
  const bool large = bytes >= huge_page;
  const int64_t alignment = large ? huge_page : 64;
  void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (block && large) madvise(block, bytes, MADV_HUGEPAGE);   // advice only: a refusal costs speed, not correctness
  return block;
}

void give_to_system(Device device, void* block) noexcept {
  if (device == Device::cuda) cuda::give(block);
  else std::free(block);
}

void fill_bytes(Device device, void* block, uint8_t value, int64_t bytes) {
  if (device == Device::cuda) cuda::fill(block, value, bytes);
  else std::memset(block, value, bytes);
}

void copy_bytes(Device to_device, void* to, Device from_device, const void* from, int64_t bytes) {
  if (to_device == Device::cuda && from_device == Device::cpu) cuda::send(to, from, bytes);
  else if (from_device == Device::cuda) cuda::copy(to, from, bytes);
  else if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace tapir
