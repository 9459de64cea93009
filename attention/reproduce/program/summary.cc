// tapir summary
#include "attention/reproduce/program/summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/streams.h"
#include "autograd/node.h"
#include "nn/optim/ema.h"
#include "tensor/arena.h"
#include "tensor/dry_run.h"

namespace tapir {
namespace {

using Json = nlohmann::ordered_json;

// Rows of the modules that own parameters.
std::vector<ModelSummary::Row> parameter_rows(nn::Module& model) {
  std::vector<ModelSummary::Row> rows;
  model.each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    const std::string path = name.substr(0, name.size() - parameter.name.size() - 1);
    if (rows.empty() || rows.back().path != path) rows.push_back({path, {}, 0, 0});
    rows.back().shapes += text(rows.back().shapes.empty() ? "" : ", ", parameter.name, ' ', parameter.shape);
    rows.back().parameters += parameter.shape.elements();
  });
  return rows;
}

// A module without parameters of its own comes before its children.
ModelSummary::Row& row_of(std::vector<ModelSummary::Row>& rows, const std::string& path) {
  const auto inside = [&](const ModelSummary::Row& row) { return row.path == path || row.path.starts_with(path + '.'); };
  const auto found = std::find_if(rows.begin(), rows.end(), inside);
  if (found != rows.end() && found->path == path) return *found;
  return *rows.insert(found, {path, {}, 0, 0});
}

// A training step, as dry as the caller makes it. Returns the most bytes that the arena held.
int64_t peak_of_step(Task& task, const Experiment& experiment) {
  TrainTask loop = task.train_task();
  const std::unique_ptr<nn::Optimiser> optimiser = experiment.optimiser.make(task.model());
  std::optional<nn::Ema> ema;
  if (experiment.train.ema > 0) ema.emplace(task.model(), experiment.train.ema);
  Arena& arena = Arena::of(experiment.device());
  arena.reset_peak();
  const StepLoss loss = accumulate_gradients(loop, *optimiser, 0, experiment.train.accumulate, 1);
  optimiser->step(0, optimiser->clip(experiment.train.clip, loss.count).scale);
  optimiser->clear_gradients();
  return arena.statistics().peak;
}

Tensor numbers_to_spare() { return Tensor::empty({1 << 12}); }   // also those of steps that the loop has not looked at

struct Unlimited {   // an arena, of which a dry run may take more than there is
  explicit Unlimited(Arena& of) : arena(of), limit(of.limit()) { arena.set_limit(std::numeric_limits<int64_t>::max()); }
  ~Unlimited() { arena.set_limit(limit); }
  Arena& arena;
  const int64_t limit;
};

}  // namespace

ModelSummary::Row ModelSummary::total() const {
  Row sum{"total", {}, 0, 0};
  for (const Row& row : rows) {
    sum.parameters += row.parameters;
    sum.operations += row.operations;
  }
  return sum;
}

ModelSummary summarise(Experiment& experiment) {
  const ComputeAs place(experiment);
  Arena& arena = Arena::of(experiment.device());
  const int64_t before = arena.statistics().in_use;
  const Unlimited unlimited(arena);
  const Rehearsal rehearsal(experiment.device());
  const std::unique_ptr<Task> task = make_task(experiment);
  ModelSummary summary{.rows = parameter_rows(task->model()), .unit = task->unit()};
  {
    const NoGrad guard;
    const auto [sample, units] = task->sample();
    task->forward(sample, {});
    summary.units = units;
  }
  for (const auto& [path, operations] : rehearsal.operations()) row_of(summary.rows, path).operations += operations;
  summary.peak = peak_of_step(*task, experiment) - before;
  return summary;
}

int64_t rehearse(Task& task, const Experiment& experiment) {
  const Rehearsal rehearsal(experiment.device());
  const Tensor numbers = numbers_to_spare();
  task.model().initialise(0, experiment.dtype(), experiment.device());
  peak_of_step(task, experiment);
  task.model().each_parameter([](const std::string&, nn::Parameter& parameter) { parameter.value = {}; });
  task.model().each_buffer([](const std::string&, nn::Buffer& buffer) { buffer.value = {}; });
  int64_t operations = 0;
  for (const auto& own : rehearsal.operations()) operations += own.second;
  return operations;
}

namespace {

Json json_of(const ModelSummary::Row& row) {
  return {{"module", row.path}, {"parameters", row.parameters}, {"operations", row.operations}, {"shapes", row.shapes}};
}

// `batch`: the largest that fits, up to the experiment's.
Json json_of(const ModelSummary& summary, int64_t capacity, int64_t batch) {
  Json modules = Json::array(), total = json_of(summary.total());
  for (const ModelSummary::Row& row : summary.rows) modules.push_back(json_of(row));
  return {{"modules", std::move(modules)}, {"parameters", total["parameters"]}, {"operations", total["operations"]},
          {"unit", summary.unit}, {"units", summary.units}, {"peak_bytes", summary.peak}, {"machine_bytes", capacity},
          {"fitting_batch", batch}};
}

void print_table(const ModelSummary& summary, const Experiment& experiment) {
  const auto print = [&](const ModelSummary::Row& row) {
    fmt::print("{:<36} {:>12} {:>14} {}\n", row.path, row.parameters,
               (row.operations + summary.units / 2) / summary.units, row.shapes);
  };
  fmt::print("{:<36} {:>12} {:>14} {}\n", "module", "parameters", "FLOPs/" + summary.unit, "shapes");
  for (const ModelSummary::Row& row : summary.rows) print(row);
  print(summary.total());
  const std::string units = text(summary.units, ' ', summary.unit, summary.units == 1 ? "" : "s");
  fmt::print("FLOPs: forward, 2·m·n·k for each matrix product, and what is done for each pair of tokens, over {}\n", units);
  fmt::print("memory: {:.1f} MiB at the peak of a training step: {} × {} in {} part{}, {}, products in {}, {}\n",
             static_cast<double>(summary.peak) / (1 << 20), experiment.train.batch, units,
             experiment.train.accumulate, experiment.train.accumulate == 1 ? "" : "s", experiment.run.dtype,
             experiment.run.precision, experiment.optimiser.name);
}

bool fits(Experiment& experiment) {
  try {
    const Rehearsal rehearsal(experiment.device());
    const std::unique_ptr<Task> task = make_task(experiment);
    const Tensor numbers = numbers_to_spare();
    peak_of_step(*task, experiment);
    return true;
  } catch (const OutOfMemory&) {
    return false;
  }
}

}  // namespace

int64_t fitting_batch(Experiment& experiment) {
  const ComputeAs place(experiment);
  const int64_t batch = experiment.train.batch, unit = experiment.train.accumulate;
  int64_t fitting = 0, failing = batch / unit;   // rows of a part
  while (failing - fitting > 1) {
    const int64_t rows = (fitting + failing) / 2;
    experiment.train.batch = rows * unit;
    (fits(experiment) ? fitting : failing) = rows;
  }
  experiment.train.batch = batch;
  return fitting * unit;
}

int run_summary(const std::filesystem::path& file, const std::vector<std::string>& assignments, bool json) {
  Experiment experiment = read_experiment(file, assignments);
  const ModelSummary summary = summarise(experiment);
  const int64_t capacity = Arena::of(experiment.device()).capacity();
  const bool too_large = summary.peak > capacity;
  const int64_t batch = too_large ? fitting_batch(experiment) : experiment.train.batch;
  json ? print_json(json_of(summary, capacity, batch)) : print_table(summary, experiment);
  if (too_large && !json)
    fmt::print("this machine has {:.1f} MiB for it: {}\n", static_cast<double>(capacity) / (1 << 20),
               batch > 0 ? text("train.batch=", batch, " fits") : "no batch fits");
  return 0;
}

}  // namespace tapir
