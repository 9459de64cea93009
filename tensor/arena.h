// Arena: the caching allocator of a device. Freed blocks wait in lists by size class, so a training step that repeats
// its shapes takes no memory from the system. One arena per device.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tensor/device.h"

namespace tapir {

struct MemoryStatistics {   // bytes, but for `allocations`
  int64_t in_use = 0;       // held by tensors now
  int64_t peak = 0;         // largest in_use since reset_peak()
  int64_t reserved = 0;     // taken from the system: in use and cached
  int64_t allocations = 0;  // requests answered, cached ones included
};

class Arena {
 public:
  static Arena& of(Device device);   // throws Error where this build or machine has no such device

  // A block of at least `bytes`, aligned to 64 bytes, contents undefined. Throws OutOfMemory that names the module paths
  // which hold most. Thread-safe.
  void* allocate(int64_t bytes);
  void release(void* block) noexcept;

  MemoryStatistics statistics() const;
  void reset_peak();
  void release_cache();                  // gives cached blocks back to the system

  // Without a limit, the arena of the CPU takes from the system what the machine has (tensor/available_memory.h), but for one
  // part in 16. It asks again as what it had is taken; but not in a dry run, whose blocks nobody touches. A GPU says itself
  // when it is full.
  void set_limit(int64_t bytes);         // of memory in use, whatever the machine has; 0: what it has
  int64_t limit() const;
  int64_t capacity();                    // bytes that tensors may take by the limit, or else now; INT64_MAX: a GPU's own
  void set_available(std::function<int64_t()> available);   // in place of what the machine has, for tests
  void set_poison(bool on);              // fresh memory is NaN in every float type: what was not written shows at once

 private:
  explicit Arena(Device device);

  struct Block {
    int64_t bytes;
    const std::string* owner;   // Scope::path() at allocation
  };

  [[noreturn]] void out_of_memory(int64_t bytes) const;
  void give_back();   // what is cached, to the system
  void ask();
  bool machine_has(int64_t size);

  const Device device_;
  mutable std::mutex mutex_;
  std::map<int64_t, std::vector<void*>> free_;   // by size class
  std::map<void*, Block> used_;
  MemoryStatistics statistics_;
  int64_t limit_ = 0;
  std::function<int64_t()> available_;
  int64_t ceiling_ = 0;         // of reserved bytes, as the machine had it when it was asked; 0: it was not
  int64_t next_question_ = 0;   // reserved bytes at which it is asked again
  bool poison_ = false;
};

}  // namespace tapir
