// Files of training runs: tensors, the manifest of checkpoints, logs.
#include <algorithm>
#include <cstring>

#include "datasets/text/text_file.h"
#include "nn/train/checkpoint.h"
#include "nn/train/metrics.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/targets.h"

namespace tapir::fuzz {
namespace {

using std::filesystem::path;

bool same(const NamedTensor& a, const NamedTensor& b) {
  if (a.name != b.name || a.tensor.dtype() != b.tensor.dtype() || a.tensor.shape() != b.tensor.shape()) return false;
  return with_type(a.tensor.dtype(), [&](auto zero) {
    const auto x = a.tensor.values<decltype(zero)>(), y = b.tensor.values<decltype(zero)>();
    return x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof zero) == 0;
  });
}

std::string logged(const std::vector<MetricsLine>& lines) {
  const path file = folder() / "logged.jsonl";
  std::filesystem::remove(file);
  MetricsLog log(file);
  for (const MetricsLine& line : lines) log.append(line);
  return read_file(file);
}

}  // namespace

// A file of tensors.
void safetensors(std::string_view bytes) {
  const path file = write("x.safetensors", bytes);
  const auto loaded = value_of(file.string(), [&] { return load_safetensors(file); });
  if (!loaded) return;
  const std::vector<NamedTensor> tensors = loaded->tensors();
  const path copy = folder() / "copy.safetensors";
  save_safetensors(copy, tensors, loaded->metadata());
  const SafeTensors again = load_safetensors(copy);
  expect(again.metadata() == loaded->metadata(), "metadata are saved and loaded unchanged");
  expect(std::ranges::equal(again.tensors(), tensors, same), "tensors are saved and loaded unchanged");
}

// manifest.json of a folder of checkpoints, none of which is there.
void manifest(std::string_view bytes) {
  const path run = folder() / "checkpoints";
  std::filesystem::remove_all(run);
  std::filesystem::create_directory(run);
  write("checkpoints/manifest.json", bytes);
  CheckpointFolder checkpoints(run);
  std::vector<std::string> notes;
  expect(!value_of(run.string(), [&] { return checkpoints.load_latest(notes); }).value_or(std::nullopt), "there is none");
  expect(!value_of(run.string(), [&] { return checkpoints.load_best(notes); }).value_or(std::nullopt), "there is none");

  checkpoints.save({.step = 7, .tensors = {}, .state = {{"key", "value"}}}, true);
  notes.clear();
  const auto latest = checkpoints.load_latest(notes), best = checkpoints.load_best(notes);
  expect(notes.empty() && latest && latest->step == 7 && latest->state.at("key") == "value" && best && best->step == 7,
         "what is saved beside any manifest is loaded");
}

// metrics.jsonl.
void metrics(std::string_view bytes) {
  const path file = write("metrics.jsonl", bytes);
  const auto lines = value_of(file.string(), [&] { return read_metrics(file); });
  if (lines) {
    const std::string first = logged(*lines);
    expect(logged(read_metrics(folder() / "logged.jsonl")) == first, "a log is written and read unchanged");
  }
  const int64_t step = lines && !lines->empty() ? lines->front().step : 1;
  if (!value_of(file.string(), [&] { return rewind_metrics(file, step), true; })) return;
  for (const MetricsLine& line : read_metrics(file)) expect(line.step <= step, "a log that was rewound is readable");
}

}  // namespace tapir::fuzz
