#include "tensor/available_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace tapir {
namespace {

namespace fs = std::filesystem;

constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();

// The number that follows `key` at the start of a line; of the first line where the key is "". "max" is none.
std::optional<int64_t> number_in(const fs::path& file, std::string_view key = "") {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const size_t begin = std::min(line.find_first_not_of(" \t", key.size()), line.size());
    int64_t number = 0;
    const auto [end, error] = std::from_chars(line.data() + begin, line.data() + line.size(), number);
    if (error == std::errc::result_out_of_range) return unlimited;
    return error == std::errc{} ? std::optional(number) : std::nullopt;
  }
  return std::nullopt;
}

struct Files {   // of a control group
  const char *limit, *use, *droppable;   // the last is a line of memory.stat
};
constexpr Files first_version{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "};
constexpr Files second_version{"memory.max", "memory.current", "inactive_file "};

int64_t left_by_group(const fs::path& folder, const Files& files) {
  const std::optional<int64_t> limit = number_in(folder / files.limit), use = number_in(folder / files.use);
  if (!limit || !use) return unlimited;
  const int64_t droppable = std::clamp<int64_t>(number_in(folder / "memory.stat", files.droppable).value_or(0), 0, *use);
  return std::max<int64_t>(0, *limit - (*use - droppable));
}

// In a container the path may be one of the host, of which only the upper end is mounted: folders that are not there say
// nothing.
int64_t left_by_groups(const fs::path& mount, fs::path group, const Files& files) {
  int64_t least = left_by_group(mount, files);
  for (group = group.relative_path(); !group.empty(); group = group.parent_path())
    least = std::min(least, left_by_group(mount / group, files));
  return least;
}

bool lists_memory(std::string_view controllers) {
  for (size_t begin = 0; begin <= controllers.size();) {
    const size_t end = std::min(controllers.find(',', begin), controllers.size());
    if (controllers.substr(begin, end - begin) == "memory") return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

int64_t available_memory(const fs::path& root) {
  int64_t least = unlimited;
  if (const auto kibibytes = number_in(root / "proc/meminfo", "MemAvailable:")) least = *kibibytes * 1024;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {   // number:controllers:path; version 2 has no controllers
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    const fs::path mounts = root / "sys/fs/cgroup";
    if (controllers.empty())
      least = std::min({least, left_by_groups(mounts, path, second_version),
                        left_by_groups(mounts / "unified", path, second_version)});
    else if (lists_memory(controllers))
      least = std::min(least, left_by_groups(mounts / "memory", path, first_version));
  }
  return least;
}

}  // namespace tapir
