#include "attention/reproduce/program/trial_figures.h"

#include <map>

#include "attention/reproduce/program/chart.h"

namespace tapir {
namespace {

Series solved_series(const ArmResult& arm) {
  const Survival curve = survival(lifetimes_of(arm.counted));
  return {.label = arm.arm->name, .x = curve.times, .y = curve.alive, .low = curve.low, .high = curve.high, .steps = true};
}

// At the steps at which every run was evaluated that did not diverge.
Series metric_series(const ArmResult& arm, const std::string& metric) {
  std::map<int64_t, std::vector<double>> values;
  size_t runs = 0;
  for (const RunRecord& run : arm.counted) {
    if (!run.finished()) continue;
    ++runs;
    for (const MetricsLine& line : run.metrics)
      for (const auto& [name, value] : line.values)
        if (name == metric) values[line.step].push_back(line.number(name));
  }
  Series series{.label = arm.arm->name, .x = {}, .y = {}, .low = {}, .high = {}};
  for (const auto& [step, all] : values) {
    if (all.size() < runs) continue;
    const Interval interval = mean_interval(all);
    series.x.push_back(static_cast<double>(step));
    series.y.push_back(interval.mean);
    if (runs < 2) continue;
    series.low.push_back(interval.mean - interval.half_width);
    series.high.push_back(interval.mean + interval.half_width);
  }
  return series;
}

}  // namespace

std::vector<Lifetime> lifetimes_of(const std::vector<RunRecord>& runs) {
  std::vector<Lifetime> lives;
  for (const RunRecord& run : runs)
    lives.push_back({static_cast<double>(run.solved ? run.solved : run.steps), run.solved > 0});
  return lives;
}

std::string figure_of(const Trial& trial, const CellResult& cell) {
  const bool until_solved = trial.options.metric == steps_until_solved;
  const std::string& metric = cell.arms.front().counted.front().judged.objective.metric;
  Chart chart{
      .title = cell.cell->name, .x_title = "step", .y_title = until_solved ? "share of runs not solved" : metric, .series = {}};
  for (const ArmResult& arm : cell.arms) {
    Series series = until_solved ? solved_series(arm) : metric_series(arm, metric);
    if (series.x.size() > 1) chart.series.push_back(std::move(series));
  }
  return chart.series.empty() ? "" : svg(chart);
}

}  // namespace tapir
