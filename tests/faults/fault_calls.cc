// Preloaded into a program, makes one of its calls on files fail. Of the calls that name a path under FAULT_FOLDER, or a
// descriptor of one, the FAULT_CALL-th (from 0) fails with the number FAULT_ERROR; where that is 0, write takes half of the
// bytes. FAULT_LOG gets a line "call path" for each call; those that change files are written in capitals.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr int most_descriptors = 1024;
char* paths[most_descriptors];   // of those under the folder
int calls = 0;

template <class Function>
Function next(Function, const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool is_watched(const char* path) {
  const char* const folder = getenv("FAULT_FOLDER");
  return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}
const char* path_of(int descriptor) {
  return descriptor >= 0 && descriptor < most_descriptors ? paths[descriptor] : nullptr;
}

// Counts a call; whether it is the one that fails.
bool fails(const char* call, const char* path) {
  if (const char* const log = getenv("FAULT_LOG")) {
    char line[1024];
    const int size = snprintf(line, sizeof line, "%s %s\n", call, path);
    const int file = next(&open, "open")(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (next(&write, "write")(file, line, static_cast<size_t>(size)) != size) abort();
    next(&close, "close")(file);
  }
  const char* const chosen = getenv("FAULT_CALL");
  if (!chosen || calls++ != atoi(chosen)) return false;
  errno = atoi(getenv("FAULT_ERROR"));
  return true;
}

int opened(const char* name, const char* path, int flags, mode_t mode) {
  const bool watched = is_watched(path), changes = flags & (O_WRONLY | O_RDWR | O_CREAT);
  if (watched && fails(changes ? "OPEN" : "open", path)) return -1;
  const int descriptor = next(&open, name)(path, flags, mode);
  if (watched && descriptor >= 0 && descriptor < most_descriptors) paths[descriptor] = strdup(path);
  return descriptor;
}

FILE* opened(const char* name, const char* path, const char* mode) {
  if (is_watched(path) && fails(strchr(mode, 'r') ? "fopen" : "FOPEN", path)) return nullptr;
  return next(&fopen, name)(path, mode);
}

mode_t mode_in(int flags, va_list arguments) { return flags & O_CREAT ? va_arg(arguments, mode_t) : 0; }

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_in(flags, arguments);
  va_end(arguments);
  return opened("open", path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_in(flags, arguments);
  va_end(arguments);
  return opened("open64", path, flags, mode);
}
FILE* fopen(const char* path, const char* mode) { return opened("fopen", path, mode); }
FILE* fopen64(const char* path, const char* mode) { return opened("fopen64", path, mode); }

ssize_t write(int descriptor, const void* bytes, size_t size) {
  const char* const path = path_of(descriptor);
  if (path && fails("WRITE", path)) {
    if (errno) return -1;
    size /= 2;
  }
  return next(&write, "write")(descriptor, bytes, size);
}
int fsync(int descriptor) {
  const char* const path = path_of(descriptor);
  return path && fails("FSYNC", path) ? -1 : next(&fsync, "fsync")(descriptor);
}
int ftruncate(int descriptor, off_t size) noexcept {
  const char* const path = path_of(descriptor);
  return path && fails("FTRUNCATE", path) ? -1 : next(&ftruncate, "ftruncate")(descriptor, size);
}
int close(int descriptor) {   // closed all the same, as on Linux
  char* const path = const_cast<char*>(path_of(descriptor));
  if (path) paths[descriptor] = nullptr;
  const int result = next(&close, "close")(descriptor);
  return path && fails("close", path) ? -1 : result;
}
int rename(const char* from, const char* to) noexcept {
  return is_watched(from) && fails("RENAME", from) ? -1 : next(&rename, "rename")(from, to);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return is_watched(path) && fails("MKDIR", path) ? -1 : next(&mkdir, "mkdir")(path, mode);
}
int unlink(const char* path) noexcept {
  return is_watched(path) && fails("unlink", path) ? -1 : next(&unlink, "unlink")(path);
}
int remove(const char* path) noexcept {
  return is_watched(path) && fails("remove", path) ? -1 : next(&remove, "remove")(path);
}

}  // extern "C"
