#include "tests/fuzz/fuzz.h"

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

// Of the address sanitizer; null where there is none.
extern "C" {
__attribute__((weak)) int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, size_t),
                                                                    void (*)(const volatile void*));
__attribute__((weak)) size_t __sanitizer_get_allocated_size(const volatile void*);
}

namespace tapir::fuzz {
namespace {

constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();
int64_t live = 0, limit = unlimited;   // bytes of the heap

void count_malloc(const volatile void*, size_t size) {
  live += static_cast<int64_t>(size);
  if (live <= limit) return;
  limit = unlimited;   // printing takes memory
  std::fprintf(stderr, "a parser takes more memory than 4 × its bytes + 64 MiB\n");
  std::abort();
}

void count_free(const volatile void* memory) {
  if (memory) live -= static_cast<int64_t>(__sanitizer_get_allocated_size(memory));
}

struct Folder {
  Folder() {
    const bool memory = std::filesystem::is_directory("/dev/shm");
    std::string name = (memory ? "/dev/shm" : std::filesystem::temp_directory_path().string()) + "/tapir-fuzz-XXXXXX";
    if (!::mkdtemp(name.data())) throw Finding("there is no folder for files");
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

}  // namespace

void run(const Target& target, std::string_view bytes) {
  static const bool counts = __sanitizer_install_malloc_and_free_hooks &&
                             __sanitizer_install_malloc_and_free_hooks(count_malloc, count_free) > 0;
  if (counts) limit = live + 4 * static_cast<int64_t>(bytes.size()) + (64 << 20);
  target.run(bytes);
  limit = unlimited;
}

const std::filesystem::path& folder() {
  static const Folder folder;
  return folder.path;
}

std::filesystem::path write(const std::string& name, std::string_view bytes) {
  const std::filesystem::path file = folder() / name;
  std::ofstream(file, std::ios::binary) << bytes;
  return file;
}

std::vector<std::string> pieces(std::string_view bytes, size_t count) {
  std::vector<std::string> pieces(count);
  for (size_t k = 0; k < count; ++k) {
    const size_t end = k + 1 < count ? bytes.find('\0') : bytes.npos;
    pieces[k] = bytes.substr(0, end);
    bytes.remove_prefix(end == bytes.npos ? bytes.size() : end + 1);
  }
  return pieces;
}

}  // namespace tapir::fuzz
