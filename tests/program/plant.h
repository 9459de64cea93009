// A change of one number in the files of a run, as if the run had computed it.
#pragma once
#include <nlohmann/json.hpp>

#include "nn/files/safetensors.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir::testing {

// Sets the first number of a tensor in a file of safetensors.
inline void plant(const std::filesystem::path& file, const std::string& part, double value) {
  const SafeTensors loaded = load_safetensors(file);
  std::vector<NamedTensor> tensors = loaded.tensors();
  for (NamedTensor& one : tensors)
    if (contains_text(one.name, part)) {
      std::vector<float> values = one.tensor.values<float>();
      values.front() = static_cast<float>(value);
      one.tensor = Tensor::from(values, one.tensor.shape());
    }
  const FileDigest digest = save_safetensors(file, tensors, loaded.metadata());
  const std::filesystem::path manifest = file.parent_path() / "manifest.json";
  if (!std::filesystem::exists(manifest)) return;
  auto json = nlohmann::ordered_json::parse(contents(manifest));
  for (auto& entry : json["checkpoints"])
    if (entry["file"] == file.filename().string()) entry["bytes"] = digest.bytes, entry["sha256"] = digest.sha256;
  std::ofstream(manifest) << json.dump();
}

}  // namespace tapir::testing
