#include "attention/reproduce/program/named_runs.h"

#include <nlohmann/json.hpp>

#include "attention/reproduce/program/folder_kind.h"
#include "nn/files/mapped_file.h"
#include "nn/files/small_file.h"

namespace tapir {

std::vector<std::filesystem::path> named_runs(const std::vector<std::filesystem::path>& paths) {
  std::vector<std::filesystem::path> folders;
  for (const std::filesystem::path& path : paths) {
    const std::filesystem::path file = path / comparison_file;
    if (!std::filesystem::is_regular_file(file)) {
      require(kind_of(path) != FolderKind::comparison, path.string(), [] { return "is a comparison that has not ended"; },
              "the same `tapir compare` goes on with it; or give runs in it, MECHANISM/seed-N");
      folders.push_back(path);
      continue;
    }
    const MappedFile bytes(file);
    require_small(file.string(), bytes.bytes().size(), 8 * small_file);
    try {
      const auto comparison = nlohmann::json::parse(bytes.bytes().begin(), bytes.bytes().end());
      for (const auto& group : comparison.at("groups")) {
        if (group.at("wider").get<bool>()) continue;   // the same runs again
        for (const auto& arm : group.at("arms"))
          for (const auto& run : arm.at("runs")) folders.push_back(path / run.at("folder").get<std::string>());
      }
    } catch (const nlohmann::json::exception& error) {
      throw Error(file.string(), text("is malformed: ", error.what()), "the same `tapir compare` writes it anew");
    }
  }
  return folders;
}

}  // namespace tapir
