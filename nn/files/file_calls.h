// The system calls that change files, and their failures as Errors.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string_view>

namespace tapir {

// Every write, fsync and rename of this folder goes through these pointers: a test that replaces one sees what a full or
// broken disk does. Set them only while no other thread saves.
struct FileCalls {
  ssize_t (*write)(int, const void*, size_t) = ::write;
  int (*fsync)(int) = ::fsync;
  int (*rename)(const char*, const char*) = ::rename;
};
FileCalls& file_calls();

// Closes its descriptor at the end of the scope. A negative one stands for "none".
class Descriptor {
 public:
  // open(2), again after an interruption. Throws Error.
  Descriptor(const std::filesystem::path& path, int flags);
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// Writes until all bytes are taken. Returns how many were; errno tells why it is not all of them.
int64_t write_all(int descriptor, std::span<const std::byte> bytes);

// fsync(2), again after an interruption. Returns 0 or −1 with errno.
int sync(int descriptor);

// Makes the entries of a folder (a rename, a new file) survive a power failure. Throws Error.
void sync_folder(const std::filesystem::path& folder);

// The path after its last component's symbolic links were followed, to a file that need not exist. A link of /proc stays: it
// stands for an open file (/dev/stdout is one), which has no name. Throws Error for links that never end.
std::filesystem::path followed(std::filesystem::path path);

// Creates a folder, through links that lead nowhere yet, and those above it that are missing, each to survive a power
// failure. Throws Error.
void create_folders(const std::filesystem::path& folder);

// Throws Error "<path>: <step> failed: <text of errno>", with a hint for a full disk.
[[noreturn]] void throw_file_error(const std::filesystem::path& path, std::string_view step);

}  // namespace tapir
