#include "nn/files/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <utility>

#include "nn/files/file_calls.h"
#include "tensor/error.h"

namespace tapir {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor descriptor(path, O_RDONLY | O_NONBLOCK);
  struct stat status;
  if (::fstat(descriptor.get(), &status) != 0) throw_file_error(path, "reading the size");
  require(S_ISREG(status.st_mode), path.string(), [] { return "expected a regular file, found a folder or a device"; });
  if (status.st_size == 0) return;
  const size_t size = static_cast<size_t>(status.st_size);
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (memory == MAP_FAILED) throw_file_error(path, "mapping into memory");
  bytes_ = {static_cast<const std::byte*>(memory), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

}  // namespace tapir
