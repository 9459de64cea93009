#include "nn/train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "nn/files/atomic_file.h"
#include "nn/files/small_file.h"
#include "nn/train/finite.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* manifest_name = "manifest.json";
constexpr const char* manifest_format = "tapir checkpoints 1";
constexpr std::string_view file_start = "step-", file_end = ".safetensors";

// The copy counts files of one step: a second save of a step takes a new name.
std::string file_name(int64_t step, int copy) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%08lld", static_cast<long long>(step));
  return text(file_start, digits, copy == 1 ? "" : text('.', copy), file_end);
}

bool is_checkpoint_name(const std::string& name) {
  return name.starts_with(file_start) && name.ends_with(file_end) && name.find('/') == name.npos;
}

int64_t integer(const std::string& where, std::string_view digits) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  require(error == std::errc{} && end == digits.data() + digits.size() && number >= 0, where,
          [&] { return text("step must be a non-negative integer, found ", quoted_name(digits)); });
  return number;
}

FileDigest digest_of(const std::filesystem::path& path) {
  const MappedFile file(path);
  return {static_cast<int64_t>(file.bytes().size()), sha256_hex(file.bytes())};
}

}  // namespace

struct CheckpointFolder::Entry {
  std::string file;
  int64_t step;
  FileDigest digest;
  bool operator==(const Entry&) const = default;
};

struct CheckpointFolder::Manifest {
  std::vector<Entry> entries;   // oldest first
  std::string best;             // a file of `entries`, or ""

  auto find(const std::string& file) const {
    return std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.file == file; });
  }
  bool lists(const std::string& file) const { return find(file) != entries.end(); }
  bool operator==(const Manifest&) const = default;
};

std::vector<NamedTensor> tensors_under(const Checkpoint& checkpoint, const std::string& prefix) {
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& tensor : checkpoint.tensors)
    if (tensor.name.starts_with(prefix)) tensors.push_back({tensor.name.substr(prefix.size()), tensor.tensor});
  return tensors;
}

CheckpointFolder::CheckpointFolder(std::filesystem::path folder, int keep)
    : folder_(std::move(folder)), keep_(static_cast<size_t>(keep)) {
  require(keep >= 1, folder_.string(), [&] { return text("at least 1 checkpoint must be kept, not ", keep); });
}

void CheckpointFolder::save(const Checkpoint& checkpoint, bool best) {
  require(checkpoint.step >= 0, folder_.string(), [&] { return text("step ", checkpoint.step, " is negative"); });
  require(!checkpoint.state.contains("step"), folder_.string(), [] { return "the state's key \"step\" is taken"; });
  create_folders(folder_);
  std::vector<std::string> notes;   // load_latest has told them
  Manifest manifest = read_manifest(notes);
  std::string file = file_name(checkpoint.step, 1);
  for (int copy = 2; manifest.lists(file); ++copy) file = file_name(checkpoint.step, copy);

  std::map<std::string, std::string> metadata = checkpoint.state;
  metadata["step"] = std::to_string(checkpoint.step);
  const FileDigest digest = save_safetensors(folder_ / file, checkpoint.tensors, metadata);

  std::vector<Entry>& entries = manifest.entries;
  std::erase_if(entries, [&](const Entry& entry) { return entry.step > checkpoint.step; });
  entries.push_back({file, checkpoint.step, digest});
  if (best) manifest.best = file;
  if (!manifest.lists(manifest.best)) manifest.best.clear();
  const size_t surplus = entries.size() - std::min(entries.size(), keep_);
  const auto first_kept = entries.begin() + static_cast<std::ptrdiff_t>(surplus);
  const auto is_not_best = [&](const Entry& entry) { return entry.file != manifest.best; };
  entries.erase(std::remove_if(entries.begin(), first_kept, is_not_best), first_kept);
  write_manifest(manifest);
  remove_unlisted(manifest);
}

std::optional<Checkpoint> CheckpointFolder::load_latest(std::vector<std::string>& notes, int64_t last) const {
  const Manifest manifest = read_manifest(notes);
  std::string failures;
  for (auto entry = manifest.entries.rbegin(); entry != manifest.entries.rend(); ++entry) {
    if (entry->step > last) continue;
    try {
      Checkpoint checkpoint = read(*entry);
      if (!failures.empty())
        notes.push_back(text("fell back to the checkpoint of step ", checkpoint.step, " because of ", failures));
      return checkpoint;
    } catch (const OutOfMemory&) {
      throw;
    } catch (const Error& error) {
      if (!is_current(manifest)) return load_latest(notes, last);
      failures += text(failures.empty() ? "" : "; ", error.what());
    }
  }
  if (failures.empty()) return std::nullopt;
  throw Error(folder_.string(), text("no checkpoint is readable: ", failures));
}

std::optional<Checkpoint> CheckpointFolder::load_best(std::vector<std::string>& notes) const {
  const Manifest manifest = read_manifest(notes);
  if (manifest.best.empty()) return std::nullopt;
  try {
    return read(*manifest.find(manifest.best));
  } catch (const Error&) {
    if (is_current(manifest)) throw;
  }
  return load_best(notes);
}

std::vector<int64_t> CheckpointFolder::steps() const {
  std::vector<int64_t> steps;
  for (const Entry& entry : files()) steps.push_back(entry.step);
  return steps;
}

// Otherwise a process that trains has saved since, and what is not readable may just have been removed.
bool CheckpointFolder::is_current(const Manifest& manifest) const {
  std::vector<std::string> notes;
  return read_manifest(notes) == manifest;
}

Checkpoint CheckpointFolder::read(const Entry& entry) const {
  const std::filesystem::path path = folder_ / entry.file;
  const FileDigest found = digest_of(path);
  require(found.bytes == entry.digest.bytes, path.string(),
          [&] { return text("expected ", entry.digest.bytes, " bytes, found ", found.bytes); });
  require(found.sha256 == entry.digest.sha256, path.string(),
          [&] { return text("expected SHA-256 ", entry.digest.sha256, ", found ", found.sha256); });
  const SafeTensors file = load_safetensors(path);
  Checkpoint checkpoint{.tensors = file.tensors(), .state = file.metadata()};
  for (const NamedTensor& one : checkpoint.tensors) require_finite(path.string(), text("'", one.name, "'"), one.tensor);
  checkpoint.step = integer(path.string(), checkpoint.state["step"]);
  checkpoint.state.erase("step");
  return checkpoint;
}

CheckpointFolder::Manifest CheckpointFolder::read_manifest(std::vector<std::string>& notes) const {
  std::string reason;
  try {
    if (std::filesystem::exists(folder_ / manifest_name)) return parse_manifest();
    reason = text((folder_ / manifest_name).string(), ": is missing");
  } catch (const Error& error) {
    reason = error.what();
  }
  Manifest adopted = adopt_files();
  if (!adopted.entries.empty())
    notes.push_back(text(reason, "; taking the ", adopted.entries.size(), " checkpoint files of the folder as they are"));
  return adopted;
}

CheckpointFolder::Manifest CheckpointFolder::parse_manifest() const {
  const std::filesystem::path path = folder_ / manifest_name;
  const MappedFile file(path);
  require_small(path.string(), file.bytes().size());
  Manifest manifest;
  try {
    const auto* text_begin = reinterpret_cast<const char*>(file.bytes().data());
    const auto json = nlohmann::json::parse(text_begin, text_begin + file.bytes().size());
    const auto format = json.at("format").get<std::string>();
    require(format == manifest_format, path.string(),
            [&] { return text("expected format \"", manifest_format, "\", found ", quoted_name(format)); });
    for (const auto& item : json.at("checkpoints")) {
      const auto integer = [&](const char* key) { return integer_of(item.at(key), path.string(), key); };
      manifest.entries.push_back({item.at("file"), integer("step"), {integer("bytes"), item.at("sha256")}});
      const std::string& name = manifest.entries.back().file;
      require(is_checkpoint_name(name), path.string(),
              [&] { return text(quoted_name(name), " is not a checkpoint's name"); });
    }
    manifest.best = json.at("best");
  } catch (const Json::exception& error) {
    throw Error(path.string(), text("is not a manifest: ", error.what()));
  }
  require(manifest.best.empty() || manifest.lists(manifest.best), path.string(),
          [&] { return text("best checkpoint ", quoted_name(manifest.best), " is not listed"); });
  return manifest;
}

// Without a manifest every file with a checkpoint's name counts: files get their names only when they are complete.
CheckpointFolder::Manifest CheckpointFolder::adopt_files() const {
  Manifest manifest{files(), ""};
  for (Entry& entry : manifest.entries) entry.digest = digest_of(folder_ / entry.file);
  return manifest;
}

std::vector<CheckpointFolder::Entry> CheckpointFolder::files() const {
  std::error_code error;
  std::vector<Entry> entries;
  for (const auto& item : std::filesystem::directory_iterator(folder_, error)) {
    const std::string name = item.path().filename().string();
    const std::string_view digits = std::string_view(name).substr(std::min(name.size(), file_start.size()), 8);
    int64_t step = 0;
    const bool numbered = std::from_chars(digits.data(), digits.data() + digits.size(), step).ec == std::errc{};
    if (is_checkpoint_name(name) && numbered && item.is_regular_file(error))
      entries.push_back({name, step, {}});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.step, a.file) < std::pair(b.step, b.file); });
  return entries;
}

void CheckpointFolder::write_manifest(const Manifest& manifest) const {
  Json checkpoints = Json::array();
  for (const Entry& entry : manifest.entries)
    checkpoints.push_back({{"file", entry.file}, {"step", entry.step}, {"bytes", entry.digest.bytes},
                           {"sha256", entry.digest.sha256}});
  const Json json = {{"format", manifest_format}, {"checkpoints", checkpoints}, {"best", manifest.best}};
  write_atomically(folder_ / manifest_name, json.dump(2) + "\n");
}

// A file that cannot be removed is left behind: the next save tries again.
void CheckpointFolder::remove_unlisted(const Manifest& manifest) const {
  std::error_code error;
  std::vector<std::filesystem::path> unlisted;
  for (const auto& item : std::filesystem::directory_iterator(folder_, error)) {
    const std::string name = item.path().filename().string();
    const bool unfinished = name.find(".tmp") != name.npos;
    if (unfinished || (is_checkpoint_name(name) && !manifest.lists(name))) unlisted.push_back(item.path());
  }
  for (const auto& path : unlisted) std::filesystem::remove(path, error);
}

}  // namespace tapir
