// The bytes of a file, mapped into memory for reading.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>

namespace tapir {

class MappedFile {
 public:
  // Throws Error if the file cannot be opened or is not a regular file. The size is that of the opening: a file that is
  // replaced meanwhile (by rename) keeps its old bytes here.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace tapir
