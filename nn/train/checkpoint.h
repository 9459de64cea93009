// Checkpoints of a training run, in one folder:
//   step-00000037.safetensors   weights, optimiser state and whatever else the trainer names; its metadata is the state
//   manifest.json               the committed files with sizes and SHA-256, oldest first, and which one is the best
//
// A checkpoint is committed once the manifest lists it. A file that the manifest lists is never overwritten, and the
// manifest is replaced as a whole, so a kill or a power failure at any moment leaves the last committed one readable.
// One process at a time saves into a folder (nn/files/folder_lock.h); others may load meanwhile.
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nn/files/safetensors.h"

namespace tapir {

struct Checkpoint {
  int64_t step = 0;                           // finished training steps
  std::vector<NamedTensor> tensors;           // names such as "model/…" and "optimiser/…"
  std::map<std::string, std::string> state;   // everything else; the key "step" is taken
};

// Those whose names start with `prefix`, named by what follows it.
std::vector<NamedTensor> tensors_under(const Checkpoint& checkpoint, const std::string& prefix);

class CheckpointFolder {
 public:
  // `keep`: how many of the newest stay, besides the best one.
  explicit CheckpointFolder(std::filesystem::path folder, int keep = 2);

  // Commits a checkpoint, then removes those that are no longer kept, unfinished files, and checkpoints of later steps:
  // load_latest() passed those over as unreadable. `best`: best on validation so far. Throws Error when saving fails;
  // the checkpoints committed before stay as they were.
  void save(const Checkpoint& checkpoint, bool best);

  // The newest checkpoint, of step `last` or before, whose size and SHA-256 are right, and whose numbers are finite; nullopt if
  // none is kept. Adds a line to `notes` for each that had to be passed over, and for a manifest that had to be rebuilt. Throws
  // an Error that says why each file was refused if none is readable.
  std::optional<Checkpoint> load_latest(std::vector<std::string>& notes,
                                        int64_t last = std::numeric_limits<int64_t>::max()) const;

  // The checkpoint saved last with `best`, nullopt if there is none. Throws Error if its file is damaged.
  std::optional<Checkpoint> load_best(std::vector<std::string>& notes) const;

  std::vector<int64_t> steps() const;   // of the files with a checkpoint's name, in order
  bool empty() const { return steps().empty(); }

 private:
  struct Entry;
  struct Manifest;

  Manifest read_manifest(std::vector<std::string>& notes) const;
  Manifest parse_manifest() const;
  Manifest adopt_files() const;
  std::vector<Entry> files() const;   // with a checkpoint's name, oldest first, without digests
  void write_manifest(const Manifest& manifest) const;
  bool is_current(const Manifest& manifest) const;
  Checkpoint read(const Entry& entry) const;
  void remove_unlisted(const Manifest& manifest) const;

  std::filesystem::path folder_;
  size_t keep_;
};

}  // namespace tapir
