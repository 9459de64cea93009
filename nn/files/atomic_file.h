// A file that is written as a whole or not at all:
// temporary file in the same folder → write → fsync → rename → fsync of the folder.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "nn/files/file_calls.h"

namespace tapir {

// Readers of `path` see its old contents until commit(), and then the new ones; so does the next start after a power
// failure. Without a commit the temporary file is removed. Every failure throws an Error that names the file, the step
// that failed, how many bytes were written, and the system's reason. After it `path` holds its old contents, or the
// complete new ones if only the last step, fsync of the folder, failed.
//
// Symbolic links are followed: they stay, and what they lead to is replaced, or made. A new file keeps the permissions of the
// old one, and its owner where the system allows it. Pipes, terminals and other character devices, and open files
// (/dev/stdout), are never replaced: bytes go there as they come. Refused: a folder, a block device, and a file that nobody
// may write to, by root as well.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void commit();   // once, at the end

 private:
  int open();
  [[noreturn]] void fail(std::string_view step) const;

  std::filesystem::path path_;        // as it was given
  std::filesystem::path target_;      // what will be replaced
  std::filesystem::path temporary_;   // the target with ".tmp" and a number; "" once it was renamed, and where none is needed
  Descriptor descriptor_;
  int64_t written_ = 0;
};

void write_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace tapir
