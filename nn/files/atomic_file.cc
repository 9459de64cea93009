#include "nn/files/atomic_file.h"

#include <sys/stat.h>

#include <cerrno>

#include "tensor/error.h"

namespace tapir {
namespace {

// Descriptor of a new file next to `path`; `temporary` takes its name. O_EXCL: two writers never share one, and what an
// earlier process left behind when it was killed is passed over.
int create_temporary(const std::filesystem::path& path, std::filesystem::path& temporary) {
  for (int number = 0;; ++number) {
    std::filesystem::path name = path;
    name += text(".tmp", number);
    const int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0 && (errno == EEXIST || errno == EINTR)) continue;
    if (descriptor < 0) throw_file_error(path, "creating a temporary file beside it");
    temporary = name;
    return descriptor;
  }
}

// Root may write to every file; but one whose mode allows it to nobody is meant to stay.
bool may_be_written(const std::filesystem::path& path, const struct stat& status) {
  return (status.st_mode & 0222) != 0 && ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), target_(followed(path_)), descriptor_(open()) {}

int AtomicFile::open() {
  struct stat old;
  if (::stat(path_.c_str(), &old) != 0) {
    if (errno != ENOENT || path_.empty()) throw_file_error(path_, "opening");
    return create_temporary(target_, temporary_);
  }
  require(!S_ISDIR(old.st_mode), path_.string(), [] { return "is a folder, and cannot be written as a file"; });
  require(!S_ISBLK(old.st_mode), path_.string(), [] { return "is a block device, and is not overwritten"; });
  const bool open_file = std::filesystem::is_symlink(target_);   // of /proc
  if (!S_ISREG(old.st_mode) || open_file) {
    // A pipe that has a name waits for its reader; one that was open already has one, or had.
    const int waits = open_file ? O_NONBLOCK : 0;
    const int descriptor = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC | waits);
    if (descriptor < 0) throw_file_error(path_, "opening");
    ::fcntl(descriptor, F_SETFL, O_APPEND);
    return descriptor;
  }
  require(may_be_written(path_, old), path_.string(), [] { return "is read-only, and stays as it is"; },
          "change its permissions (chmod u+w), or give another file");
  const int descriptor = create_temporary(target_, temporary_);
  static_cast<void>(::fchown(descriptor, old.st_uid, old.st_gid) == 0 || ::fchown(descriptor, -1, old.st_gid) == 0);
  static_cast<void>(::fchmod(descriptor, old.st_mode & 0777));   // some file systems have no permissions
  return descriptor;
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  const int64_t taken = write_all(descriptor_.get(), bytes);
  written_ += taken;
  if (taken < static_cast<int64_t>(bytes.size())) fail("write");
}

void AtomicFile::commit() {
  if (temporary_.empty()) return;
  if (sync(descriptor_.get()) != 0) fail("fsync");
  if (file_calls().rename(temporary_.c_str(), target_.c_str()) != 0) fail("rename");
  temporary_.clear();
  sync_folder(target_.parent_path());
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
