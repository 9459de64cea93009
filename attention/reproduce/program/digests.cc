#include "attention/reproduce/program/digests.h"

#include <map>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/streams.h"
#include "nn/files/mapped_file.h"
#include "nn/files/small_file.h"
#include "tensor/sha256.h"

namespace tapir {

Task::Digests start_digests(const Task& task, const Experiment& experiment, const std::vector<std::string>& parts) {
  Task::Digests digests = task.digests(parts);
  if (!experiment.run.initial.empty())
    digests.emplace_back("initial", sha256_hex(MappedFile(experiment.run.initial).bytes()));
  return digests;
}

namespace {

// What the facts file has under `key`; T() where it has nothing, or is not there.
template <class T> T kept(const std::filesystem::path& run, const char* key) {
  const std::filesystem::path file = run / facts_file;
  if (!std::filesystem::is_regular_file(file)) return {};
  const MappedFile bytes(file);
  require_small(file.string(), bytes.bytes().size());
  try {
    const auto facts = nlohmann::json::parse(bytes.bytes().begin(), bytes.bytes().end());
    return facts.contains(key) ? facts[key].template get<T>() : T();
  } catch (const nlohmann::json::exception& error) {
    throw Error(file.string(), text("is malformed: ", error.what()));
  }
}

}  // namespace

Task::Digests kept_digests(const std::filesystem::path& run) {
  const auto digests = kept<std::map<std::string, std::string>>(run, "digests");
  return {digests.begin(), digests.end()};
}

std::string kept_trial(const std::filesystem::path& run) { return kept<std::string>(run, "trial"); }

std::string differences(const Task::Digests& kept, const Task::Digests& found) {
  std::string named;
  for (const auto& [name, digest] : found)
    for (const auto& [same, was] : kept)
      if (same == name && was != digest)
        named += text(named.empty() ? "" : ", ", name, " is ", digest.substr(0, 12), ", was ", was.substr(0, 12));
  return named;
}

void require_kept(const std::filesystem::path& run, const Task::Digests& found, const char* hint) {
  const std::string named = differences(kept_digests(run), found);
  require(named.empty(), run.string(), [&] { return text("was trained with other data, by SHA-256: ", named); }, hint);
}

void tell_unkept(const std::filesystem::path& run, const Task::Digests& found) {
  if (kept_digests(run).empty() && !found.empty())
    note(text(run.string(), ": began with an earlier version, so nobody can tell whether its data are still the same"));
}

}  // namespace tapir
