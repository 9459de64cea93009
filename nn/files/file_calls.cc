#include "nn/files/file_calls.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <system_error>

#include "tensor/error.h"

namespace tapir {
namespace {

const char* hint_of(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "free disk space or choose another folder; what was saved before is untouched";
    case EFBIG: return "raise the file size limit (ulimit -f); what was saved before is untouched";
    case EACCES:
    case EPERM:
    case EROFS: return "choose a folder that you may write to";
    default: return "";
  }
}

template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

FileCalls& file_calls() {
  static FileCalls calls;
  return calls;
}

Descriptor::Descriptor(const std::filesystem::path& path, int flags)
    : descriptor_(uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); })) {
  if (descriptor_ < 0) throw_file_error(path, "opening");
}

Descriptor::~Descriptor() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int64_t write_all(int descriptor, std::span<const std::byte> bytes) {
  size_t taken = 0;
  while (taken < bytes.size()) {
    const auto rest = bytes.subspan(taken);
    const ssize_t count = uninterrupted([&] { return file_calls().write(descriptor, rest.data(), rest.size()); });
    if (count < 0) break;
    taken += static_cast<size_t>(count);
  }
  return static_cast<int64_t>(taken);
}

int sync(int descriptor) {
  return uninterrupted([&] { return file_calls().fsync(descriptor); });
}

void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder.empty() ? "." : folder;
  const Descriptor descriptor(path, O_RDONLY | O_DIRECTORY);
  // Some network file systems cannot sync a folder and say EINVAL: there is nothing more to do on them.
  if (sync(descriptor.get()) != 0 && errno != EINVAL) throw_file_error(path, "fsync of the folder");
}

std::filesystem::path followed(std::filesystem::path path) {
  std::error_code error;
  for (int links = 0; std::filesystem::is_symlink(path, error); ++links) {
    errno = ELOOP;
    if (links == 40) throw_file_error(path, "following its links");   // as many as Linux follows
    const std::filesystem::path folder = path.parent_path();
    struct statfs system;
    if (::statfs(folder.empty() ? "." : folder.c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC) break;
    path = folder / std::filesystem::read_symlink(path);   // the whole path where the link has an absolute one
  }
  return path;
}

void create_folders(const std::filesystem::path& path) {
  const std::filesystem::path folder = followed(path);
  std::error_code error;
  if (folder.empty() || std::filesystem::is_directory(folder, error)) return;
  create_folders(folder.parent_path());
  std::filesystem::create_directory(folder, error);
  errno = error.value();
  if (error) throw_file_error(folder, "creating the folder");
  sync_folder(folder.parent_path());
}

void throw_file_error(const std::filesystem::path& path, std::string_view step) {
  const int error = errno;
  throw Error(path.string(), text(step, " failed: ", std::generic_category().message(error)), hint_of(error));
}

}  // namespace tapir
