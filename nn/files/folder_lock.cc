#include "nn/files/folder_lock.h"

#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <string>
#include <thread>

#include "tensor/error.h"

namespace tapir {
namespace {

std::string this_host() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string own_line() {
  const std::time_t now = std::time(nullptr);
  std::tm utc;
  char time[32];
  std::strftime(time, sizeof time, "%F %T UTC", ::gmtime_r(&now, &utc));
  return text("process ", ::getpid(), " on ", this_host(), " since ", time);
}

std::string line_in(int descriptor) {
  char bytes[512];
  const ssize_t count = ::pread(descriptor, bytes, sizeof bytes, 0);
  const std::string line(bytes, static_cast<size_t>(std::max<ssize_t>(count, 0)));
  return line.substr(0, line.find('\n'));
}

std::string host_in(const std::string& line) {
  const size_t on = line.find(" on "), since = line.find(" since ");
  return on < since && since != line.npos ? line.substr(on + 4, since - on - 4) : "";
}

bool take(int descriptor, const std::filesystem::path& file) {
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno != EWOULDBLOCK && errno != EINTR) throw_file_error(file, "locking");
  return false;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / lock_file;
  create_folders(folder);
  const int descriptor = descriptor_.emplace(file, O_RDWR | O_CREAT).get();
  for (int tries = 0; !take(descriptor, file); ++tries) {   // for a holder that has not written its line yet
    const std::string holder = line_in(descriptor);
    require(holder.empty() && tries < 100, folder.string(),
            [&] { return text("is being written by ", holder.empty() ? "another process" : holder); },
            "wait for its end, or end it; then this command can go on");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const std::string before = line_in(descriptor), host = host_in(before);
  require(host.empty() || host == this_host(), folder.string(), [&] { return text("is being written by ", before); },
          text("locks may not reach that far: make sure that the process has ended, and remove ", file.string()));
  const std::string line = own_line() + '\n';
  const bool written = ::ftruncate(descriptor, 0) == 0 &&
                       write_all(descriptor, std::as_bytes(std::span(line))) == static_cast<int64_t>(line.size()) &&
                       sync(descriptor) == 0;   // other hosts see it
  if (!written) throw_file_error(file, "writing");
}

FolderLock::~FolderLock() {
  if (descriptor_) static_cast<void>(::ftruncate(descriptor_->get(), 0) == 0);
}

}  // namespace tapir
