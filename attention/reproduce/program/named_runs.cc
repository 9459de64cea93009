#include "attention/reproduce/program/named_runs.h"

#include <nlohmann/json.hpp>
#include <set>

#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/streams.h"
#include "nn/files/mapped_file.h"
#include "nn/files/small_file.h"
#include "tensor/error.h"

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
    std::vector<std::filesystem::path> own;
    const MappedFile bytes(file);
    require_small(file.string(), bytes.bytes().size(), 8 * small_file);
    try {
      const auto comparison = nlohmann::json::parse(bytes.bytes().begin(), bytes.bytes().end());
      for (const auto& group : comparison.at("groups")) {
        if (group.at("wider").get<bool>()) continue;   // the same runs again
        for (const auto& arm : group.at("arms"))
          for (const auto& run : arm.at("runs")) own.push_back(path / run.at("folder").get<std::string>());
      }
    } catch (const nlohmann::json::exception& error) {
      throw Error(file.string(), text("is malformed: ", error.what()), "the same `tapir compare` writes it anew");
    }
    tell_left_out(path, own);
    folders.insert(folders.end(), own.begin(), own.end());
  }
  return folders;
}

void tell_left_out(const std::filesystem::path& comparison, const std::vector<std::filesystem::path>& asked_for) {
  std::set<std::filesystem::path> known;
  for (const std::filesystem::path& run : asked_for) known.insert(run.lexically_normal());
  int64_t others = 0;
  for (const auto& mechanism : std::filesystem::directory_iterator(comparison)) {
    if (!mechanism.is_directory()) continue;
    for (const auto& run : std::filesystem::directory_iterator(mechanism.path()))
      others += !known.contains(run.path().lexically_normal()) && kind_of(run.path()) == FolderKind::run;
  }
  if (others > 0)
    note(text(comparison.string(), ": has ", others, others == 1 ? " run" : " runs", " more, which the comparison that was last asked "
              "for leaves out"));
}

}  // namespace tapir
