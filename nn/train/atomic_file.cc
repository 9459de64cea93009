#include "nn/train/atomic_file.h"

#include <cerrno>

#include "tensor/error.h"

namespace tapir {
namespace {

// Descriptor of a new file next to `path`; `temporary` takes its name. O_EXCL: two writers never share one, and what an
// earlier process left behind when it was killed is passed over.
int create_temporary(const std::filesystem::path& path, std::filesystem::path& temporary) {
  for (int number = 0;; ++number) {
    temporary = path;
    temporary += text(".tmp", number);
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) return descriptor;
    if (errno != EEXIST && errno != EINTR) throw_file_error(path, "creating a temporary file beside it");
  }
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(create_temporary(path_, temporary_)) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  const int64_t taken = write_all(descriptor_.get(), bytes);
  written_ += taken;
  if (taken < static_cast<int64_t>(bytes.size())) fail("write");
}

void AtomicFile::commit() {
  if (sync(descriptor_.get()) != 0) fail("fsync");
  if (file_calls().rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename");
  temporary_.clear();
  sync_folder(path_.parent_path());
}

void AtomicFile::fail(std::string_view step) const {
  throw_file_error(path_, text(step, " after ", written_, " bytes"));
}

void write_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_atomically(const std::filesystem::path& path, std::string_view text) {
  write_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace tapir
