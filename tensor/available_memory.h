// What memory the machine has left.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "tensor/error.h"

namespace tapir {

// Bytes that this process can still take before the system has to end one: the least of MemAvailable of /proc/meminfo and
// of what its control groups leave, of version 1 or 2, each group and all above it: the limit less the use, in which
// pages of files that nobody needs do not count. The largest number where the system says nothing. `root`: instead of /.
int64_t available_memory(const std::filesystem::path& root = "/");

// Throws Error unless `where` can have `bytes` beside tensors. Nothing is asked for less than 64 MiB.
template <class Kind = Error>
void require_memory(std::string_view where, int64_t bytes, std::string_view hint) {
  if (bytes < int64_t{64} << 20) return;
  const int64_t available = available_memory();
  if (bytes > available)
    throw Kind(where, text("needs ", bytes, " bytes, and the machine has ", available, " left"), hint);
}

}  // namespace tapir
