#include "tensor/arena.h"

#include <malloc.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "tensor/available_memory.h"
#include "tensor/cuda.h"
#include "tensor/dry_run.h"
#include "tensor/error.h"
#include "tensor/memory.h"

namespace tapir {
namespace {

// Eight classes per power of two: at most 1/8 of a block is waste.
int64_t size_class(int64_t bytes) {
  const int64_t step = std::max<int64_t>(64, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(bytes)) / 8));
  return (std::max<int64_t>(bytes, 1) + step - 1) / step * step;
}

}  // namespace

Arena::Arena(Device device) : device_(device), available_([] { return available_memory(); }) {}

Arena& Arena::of(Device device) {   // never destroyed: tensors may outlive every other static
  static Arena* const cpu = new Arena(Device::cpu);
  if (device == Device::cpu) return *cpu;
  static Arena* const cuda = [] {
    cuda::require_device();
    return new Arena(Device::cuda);
  }();
  return *cuda;
}

void* Arena::allocate(int64_t bytes) {
  require(bytes >= 0, "arena", [&] { return text("a block cannot have ", bytes, " bytes"); });
  const std::lock_guard lock(mutex_);
  constexpr int64_t largest = int64_t{1} << 62;   // beyond it a size class is no int64_t
  if (bytes > largest) out_of_memory(bytes);
  const int64_t size = size_class(bytes);
  if (limit_ && statistics_.in_use + size > limit_) out_of_memory(bytes);
  std::vector<void*>& cached = free_[size];
  void* block = nullptr;
  if (!cached.empty()) {
    block = cached.back();
    cached.pop_back();
  } else {
    if (machine_has(size)) block = take_from_system(device_, size);
    if (!block) {
      give_back();   // blocks of other sizes
      if (machine_has(size)) block = take_from_system(device_, size);
    }
    if (!block) out_of_memory(bytes);
    statistics_.reserved += size;
  }
  used_.emplace(block, Block{size, &Scope::path()});
  statistics_.in_use += size;
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  ++statistics_.allocations;
  if (poison_ && !DryRun::current()) fill_bytes(device_, block, 0xFF, size);   // all bits set is a NaN in f32 and f64
  return block;
}

void Arena::release(void* block) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(block);
  statistics_.in_use -= found->second.bytes;
  free_[found->second.bytes].push_back(block);
  used_.erase(found);
}

void Arena::out_of_memory(int64_t bytes) const {
  std::map<std::string, int64_t> owners;
  for (const auto& [block, info] : used_) owners[info.owner->empty() ? "(outside modules)" : *info.owner] += info.bytes;
  std::vector<std::pair<int64_t, std::string>> largest;
  for (const auto& [owner, held] : owners) largest.emplace_back(held, owner);
  std::sort(largest.rbegin(), largest.rend());
  largest.resize(std::min<size_t>(largest.size(), 10));
  const bool by_machine = ceiling_ > 0 && !limit_;
  std::string rule = text("no memory for ", bytes, " bytes while ", statistics_.in_use, " are in use",
                          by_machine ? text(" of ", ceiling_, " that the machine has") : "", "; the largest owners:");
  for (const auto& [held, owner] : largest) rule += text(' ', owner, '=', held);
  throw OutOfMemory("arena", rule, "use a smaller batch or a shorter context");
}

MemoryStatistics Arena::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void Arena::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.in_use;
}

void Arena::release_cache() {
  const std::lock_guard lock(mutex_);
  give_back();
  ceiling_ = next_question_ = 0;
}

void Arena::give_back() {
  for (auto& [size, blocks] : free_) {
    for (void* block : blocks) give_to_system(device_, block);
    statistics_.reserved -= size * static_cast<int64_t>(blocks.size());
    blocks.clear();
  }
  if (device_ == Device::cpu) ::malloc_trim(0);   // the C library keeps smaller blocks for itself
}

void Arena::ask() {
  const int64_t available = available_();
  ceiling_ = statistics_.reserved + std::min(available - available / 16, std::numeric_limits<int64_t>::max() / 2);
  next_question_ = statistics_.reserved + available / 8;
}

bool Arena::machine_has(int64_t size) {
  if (limit_ || device_ != Device::cpu) return true;
  const int64_t wanted = statistics_.reserved + size;
  if (ceiling_ == 0 || (wanted > next_question_ && !DryRun::current())) ask();
  return wanted <= ceiling_;
}

void Arena::set_limit(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes;
}

int64_t Arena::limit() const {
  const std::lock_guard lock(mutex_);
  return limit_;
}

int64_t Arena::capacity() {
  const std::lock_guard lock(mutex_);
  if (limit_) return limit_;
  if (device_ != Device::cpu) return std::numeric_limits<int64_t>::max();
  ask();
  return ceiling_;
}

void Arena::set_available(std::function<int64_t()> available) {
  const std::lock_guard lock(mutex_);
  available_ = available ? std::move(available) : [] { return available_memory(); };
  ceiling_ = next_question_ = 0;
}

void Arena::set_poison(bool on) {
  const std::lock_guard lock(mutex_);
  poison_ = on;
}

}  // namespace tapir
