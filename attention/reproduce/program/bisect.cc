// tapir bisect: where two runs of one experiment part. Both are replayed side by side from the last state that they are known
// to share; after each step the replays are compared with one another, and each with what its own run has logged and kept.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/replay.h"
#include "attention/reproduce/program/state_difference.h"
#include "nn/train/progress.h"

namespace tapir {
namespace {

constexpr size_t most_shown = 8;   // tensors

void show(const std::vector<TensorDifference>& differences) {
  for (size_t k = 0; k < std::min(differences.size(), most_shown); ++k)
    fmt::print("  {}  {}\n", differences[k].name, differences[k].words);
  if (differences.size() > most_shown) fmt::print("  … and {} more\n", differences.size() - most_shown);
}

// One of the two runs: what it has left, and its replay.
struct Side {
  std::filesystem::path folder;
  std::vector<MetricsLine> log;
  std::vector<int64_t> kept;   // steps of its checkpoints
  std::optional<ReplayedRun> run{};
  double tolerance = 0;
  bool has_left = false;   // what this program computes

  explicit Side(const std::filesystem::path& path)
      : folder(path), log(read_metrics(path / "metrics.jsonl")), kept(CheckpointFolder(path / "checkpoints").steps()) {}

  int64_t last() const {
    return std::max(log.empty() ? 0 : log.back().step, kept.empty() ? 0 : kept.back());
  }
  bool keeps(int64_t step) const { return std::find(kept.begin(), kept.end(), step) != kept.end(); }
  std::vector<NamedTensor> kept_at(int64_t step) const {
    std::vector<std::string> notes;
    const std::optional<Checkpoint> checkpoint = CheckpointFolder(folder / "checkpoints").load_latest(notes, step);
    require(checkpoint && checkpoint->step == step, folder.string(),
            [&] { return text("the checkpoint of step ", step, " cannot be read", notes.empty() ? "" : ": " + notes.back()); });
    return checkpoint->tensors;
  }
};

void tell_settings(Side& a, Side& b) {
  Experiment first = read_run(a.folder), second = read_run(b.folder);
  const std::string settings = changed_settings(first, second, {"run.name"});
  if (!settings.empty()) fmt::print("settings of the second, against the first: {}\n", settings);
  const std::string data = differences(kept_digests(a.folder), kept_digests(b.folder));
  if (!data.empty()) fmt::print("data of the second, against the first: {}\n", data);
  for (const char* name : {"tapir", "commit", "compiler", "flags", "blas", "device"}) {
    const auto facts = [&](const Side& side) {
      std::set<std::string> all;
      for (const MetricsLine& line : read_environment(side.folder)) all.insert(fact(line, name));
      return all;
    };
    for (const std::string& one : facts(a))
      if (!facts(b).contains(one)) fmt::print("{} of the first alone: {}\n", name, one);
    for (const std::string& one : facts(b))
      if (!facts(a).contains(one)) fmt::print("{} of the second alone: {}\n", name, one);
  }
}

// The first step at which both have logged a number, and not the same; nullopt: there is none.
std::optional<int64_t> first_logged_difference(const Side& a, const Side& b) {
  for (const MetricsLine& line : a.log) {
    const std::map<std::string, double> others = logged_at(b.log, line.step);
    for (const auto& [name, value] : logged_at(a.log, line.step))
      if (const auto other = others.find(name); other != others.end() && !reproduces(value, other->second, 0)) {
        fmt::print("logs: step {}: {} is {} against {}\n", line.step, name, value, other->second);
        return line.step;
      }
  }
  fmt::print("logs: no number differs\n");
  return std::nullopt;
}

// A number that a run has logged at this step, and that comes out otherwise: "loss is 2.5 in its log, 2.25 replayed"; "" where
// there is none.
std::string other_number(Side& side, const MetricsLine& replayed) {
  const std::map<std::string, double> logged = logged_at(side.log, replayed.step);
  MetricsLine all = replayed;
  if (logged.contains("validation_loss"))
    for (const auto& [name, value] : side.run->evaluate()) all.values.emplace_back(name, value);
  for (const auto& named : all.values) {
    const auto was = logged.find(named.first);
    if (was != logged.end() && !reproduces(was->second, all.number(named.first), side.tolerance))
      return fmt::format("{} is {} in its log, {} replayed", named.first, was->second, all.number(named.first));
  }
  return "";
}

// Compares the run with its own replay, which has just done a step. Whether a tensor could be named.
bool names_tensor(Side& side, const MetricsLine& replayed) {
  const std::string folder = side.folder.string();
  if (!side.has_left)
    if (const std::string number = other_number(side, replayed); !number.empty()) {
      side.has_left = true;
      fmt::print("step {}: {} is not what this program computes: {}\n", replayed.step, folder, number);
    }
  if (!side.keeps(replayed.step)) return false;
  const auto differences = state_differences(side.run->state(), side.kept_at(replayed.step), side.tolerance);
  if (differences.empty()) return false;
  fmt::print("step {}: {} has another state than this program computes, replayed against kept:\n", replayed.step, folder);
  show(differences);
  return true;
}

// Whether the replays are the same after this step.
bool same_replays(const Side& a, const Side& b) {
  std::vector<TensorDifference> all = state_differences(a.run->gradients(), b.run->gradients(), 0);
  for (TensorDifference& one : state_differences(a.run->state(), b.run->state(), 0)) all.push_back(std::move(one));
  if (all.empty()) return true;
  fmt::print("step {}: this program computes the two differently, first against second:\n", a.run->steps());
  show(all);
  return false;
}

// From the state after step `shared`, which both have, to step `end` at most. Whether something differs.
bool walk(Side& a, Side& b, int64_t shared, int64_t end, const std::string& device) {
  for (Side* side : {&a, &b}) {
    side->run.emplace(side->folder, shared, device);
    end = std::min(end, side->run->experiment().train.steps);
    const std::string others = other_arithmetic(side->folder, side->run->experiment(), shared, side->last());
    if (others.empty()) continue;
    side->tolerance = other_kernels_tolerance;
    fmt::print("{} was computed otherwise: {}; compared to {}, not to the bit\n", side->folder.string(), others,
               side->tolerance);
  }
  fmt::print("replayed from {}\n", shared ? fmt::format("the checkpoint of step {}, which both have", shared) : "the start");
  Progress progress(std::cerr, isatty(STDERR_FILENO) == 1, end, "step");
  if (!same_replays(a, b)) return true;
  while (a.run->steps() < end) {
    const MetricsLine lines[] = {a.run->step(), b.run->step()};
    progress.update(lines[0].step, lines[0].number("loss"), 1);
    if (!same_replays(a, b)) return true;
    const bool first = names_tensor(a, lines[0]), second = names_tensor(b, lines[1]);
    if (first || second) return true;
    const auto may_name = [&](const Side& side) { return !side.kept.empty() && side.kept.back() > a.run->steps(); };
    if ((a.has_left || b.has_left) && !(a.has_left && may_name(a)) && !(b.has_left && may_name(b))) {
      fmt::print("no later state is kept that could name a tensor\n");
      return true;
    }
  }
  return a.has_left || b.has_left;
}

}  // namespace

int run_bisect(const std::filesystem::path& first, const std::filesystem::path& second, const std::string& device) {
  for (const std::filesystem::path& folder : {first, second}) require_run(folder);
  Side a(first), b(second);
  tell_settings(a, b);
  constexpr int64_t never = std::numeric_limits<int64_t>::max();
  int64_t different = first_logged_difference(a, b).value_or(never), shared = 0;
  for (const int64_t step : a.kept) {
    if (!b.keeps(step)) continue;
    const bool same = state_differences(a.kept_at(step), b.kept_at(step), 0).empty();
    fmt::print("checkpoints of step {}: {}\n", step, same ? "the same" : "not the same");
    if (!same) different = std::min(different, step);
    else if (step < different) shared = step;
  }
  const int64_t both = std::min(a.last(), b.last());
  if (different == never && (shared >= both || !walk(a, b, shared, both, device))) {
    fmt::print("nothing differs up to step {}\n", both);
    return 0;
  }
  if (different != never && !walk(a, b, shared, std::max(a.last(), b.last()), device))
    fmt::print("both are what this program computes, as far as that can be told of other kernels\n");
  return 1;
}

}  // namespace tapir
