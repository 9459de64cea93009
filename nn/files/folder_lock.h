// One process at a time writes into a folder. The kernel's lock on the file `lock` decides, and goes with the process that
// holds it, however that ends. What the file says only informs: "process 4711 on heron since 2024-06-07 12:00:00 UTC".
#pragma once
#include <filesystem>
#include <optional>

#include "nn/files/file_calls.h"

namespace tapir {

inline constexpr const char* lock_file = "lock";   // in the folder; it stays there, empty once its holder has ended well

class FolderLock {
 public:
  // Creates the folder and those above it that are missing, and nothing but the lock in it before the lock is had. Throws
  // Error when another process has it, which the message names, and when the file names another host: network file systems
  // may not share locks, so nobody knows whether that process still writes. Programs that are executed do not inherit it.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();

  // For a process that fork(2) made: it lets go of what it has inherited, so that the lock goes with its parent alone.
  void leave_to_parent() { descriptor_.reset(); }

 private:
  std::optional<Descriptor> descriptor_;   // none once it is left to the parent
};

}  // namespace tapir
