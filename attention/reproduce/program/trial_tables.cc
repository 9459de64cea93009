#include "attention/reproduce/program/trial_tables.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "attention/reproduce/program/trial_figures.h"

namespace tapir {
namespace {

// The last value of a metric that a run has logged; NaN: none, or it diverged later.
double last_of(const RunRecord& run, const std::string& metric) {
  if (!run.diverged.empty()) return std::numeric_limits<double>::quiet_NaN();
  for (auto line = run.metrics.rbegin(); line != run.metrics.rend(); ++line)
    for (const auto& [name, value] : line->values)
      if (name == metric) return line->number(name);
  return std::numeric_limits<double>::quiet_NaN();
}

// Over the runs that have a value; those that diverged are counted beside it.
std::string mean_of(const ArmResult& arm, const std::function<double(const RunRecord&)>& value) {
  std::vector<double> values;
  size_t diverged = 0;
  for (const RunRecord& run : arm.counted) {
    diverged += !run.diverged.empty();
    if (const double one = value(run); !std::isnan(one)) values.push_back(one);
  }
  return shown(mean_interval(values)) + (diverged > 0 ? fmt::format(", {} diverged", diverged) : "");
}

const char* counts_for(const std::vector<CellResult>& cells, const RunRecord& run) {
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms) {
      for (const RunRecord& counted : arm.counted)
        if (counted.folder == run.folder) return "the result";
      for (const auto& one : arm.grid)
        if (one.second.folder == run.folder) return "the choice of the rate";
    }
  return "nothing: discarded";
}

}  // namespace

std::string shown(double value) { return std::isnan(value) ? "–" : fmt::format("{:.5g}", value); }

std::string shown(const Interval& interval) {
  return std::isnan(interval.half_width) ? shown(interval.mean)
                                         : fmt::format("{:.5g} ± {:.2g}", interval.mean, interval.half_width);
}

std::string table_head(const std::vector<std::string>& names) {
  std::string top = "|", rule = "|";
  for (const std::string& name : names) top += fmt::format(" {} |", name), rule += "---|";
  return top + '\n' + rule + '\n';
}

std::string rates_section(const Trial& trial, const std::vector<CellResult>& cells) {
  if (trial.rates.size() < 2) return "";
  std::vector<std::string> names{"arm"};
  for (const double rate : trial.rates) names.push_back(fmt::format("{:.3g}", rate));
  std::string section =
      "\n## Learning rates\n\nEvery arm has the same grid: each rate once, with a seed that does not count, a third of "
      "the steps, judged on the validation part.\n\n" +
      table_head(names);
  const auto [least, most] = std::minmax_element(trial.rates.begin(), trial.rates.end());
  std::string edges;
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms) {
      const std::string path = path_of(*cell.cell, *arm.arm);
      section += fmt::format("| {} |", path);
      for (const auto& [rate, run] : arm.grid) {
        std::string result = run.diverged.empty() ? shown(run.judged.result) : "diverged";
        if (run.solved) result += fmt::format(", solved at {}", run.solved);
        section += fmt::format(" {}{} |", result, rate == arm.rate ? ", **taken**" : "");
      }
      section += '\n';
      if (arm.rate == *least || arm.rate == *most) edges += (edges.empty() ? "" : ", ") + path;
    }
  if (!edges.empty()) section += fmt::format("\nAt the edge of the grid, beyond which a better rate may lie: {}.\n", edges);
  return section;
}

std::string picture_name(const CellResult& cell) { return (cell.cell->name.empty() ? "curves" : cell.cell->name) + ".svg"; }

std::string results_section(const Trial& trial, const std::vector<CellResult>& cells, size_t rulings,
                            const std::map<std::string, std::string>& pictures, const std::string& below) {
  std::string section = fmt::format(
      "\n## Results\n\n± are 95 % intervals, Student's t, over seeds ({}). Those of gains are paired by seed, of {:.5g} % "
      "each, so that all hold together with 95 % (Bonferroni). {}\n",
      cells[0].arms[0].counted.front().seed_decides, 100 * joint_level(rulings),
      trial.options.metric == steps_until_solved ? "A run that is not solved, or diverged, counts as all of its steps."
                                                 : "No gain is formed of an arm of which a run diverged.");
  for (const CellResult& cell : cells) {
    if (!cell.cell->name.empty()) section += fmt::format("\n### {}\n", cell.cell->name);
    std::vector<std::string> names{"arm", trial.options.metric};
    for (const std::string& metric : trial.also) names.push_back(metric);
    for (const char* name : {"rate", "parameters", "operations of a step", "step", "a run", "peak memory"})
      names.push_back(name);
    section += '\n' + table_head(names);
    for (const ArmResult& arm : cell.arms) {
      std::vector<double> step, whole;
      int64_t peak = 0;
      for (const RunRecord& run : arm.counted) {
        step.push_back(run.step_seconds);
        whole.push_back(run.step_seconds * static_cast<double>(run.done));
        peak = std::max(peak, run.peak_bytes);
      }
      section +=
          fmt::format("| {} | {} |", arm.arm->name, mean_of(arm, [&](const RunRecord& run) { return value_of(trial, run); }));
      for (const std::string& metric : trial.also)
        section += fmt::format(" {} |", mean_of(arm, [&](const RunRecord& run) { return last_of(run, metric); }));
      const RunRecord& first = arm.counted.front();
      const auto time = [](double value, const char* unit) {   // NaN: no run came to its first line
        return std::isnan(value) ? "–" : fmt::format("{:.3g} {}", value, unit);
      };
      section += fmt::format(" {:.3g} | {} | {:.4g} | {} | {} | {:.0f} MiB |\n", arm.rate, first.parameters,
                             static_cast<double>(first.operations), time(1e3 * median(step), "ms"), time(median(whole), "s"),
                             static_cast<double>(peak) / (1 << 20));
    }
    const std::string picture = picture_name(cell);
    if (pictures.contains(picture)) section += fmt::format("\n![{}]({}{})\n", picture, below, picture);
  }
  return section;
}

std::string solved_section(const Trial& trial, const std::vector<CellResult>& cells) {
  if (trial.options.metric != steps_until_solved) return "";
  std::string section =
      "\n## Solved runs\n\nShares have Wilson's 95 % interval, medians are Kaplan and Meier's, with theirs: – where "
      "too few runs are solved to say.\n\n" +
      table_head({"cell", "arm", "solved", "share", "median of steps"});
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms) {
      const auto of = static_cast<int64_t>(arm.counted.size());
      const int64_t solved =
          std::count_if(arm.counted.begin(), arm.counted.end(), [](const RunRecord& run) { return run.solved > 0; });
      const Interval share = wilson(solved, of);
      const Survival curve = survival(lifetimes_of(arm.counted));
      section += fmt::format("| {} | {} | {} of {} | {:.2f} … {:.2f} | {} ({} … {}) |\n", cell.cell->name, arm.arm->name,
                             solved, of, share.mean - share.half_width, share.mean + share.half_width, shown(curve.median),
                             shown(curve.median_low), shown(curve.median_high));
    }
  return section;
}

// What the gates of score networks came to, and whether it shows in the result.
std::string gates_section(const Trial& trial, const std::vector<CellResult>& cells) {
  std::string rows;
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms)
      for (const RunRecord& run : arm.counted) {
        std::string gates;
        std::set<std::string> seen;
        for (const MetricsLine& line : run.metrics)
          for (const auto& value : line.values)
            if (value.first.ends_with(".gate") && seen.insert(value.first).second)
              gates += fmt::format("{}{:.3g}", gates.empty() ? "" : ", ", last_of(run, value.first));
        if (!gates.empty())
          rows += fmt::format("| {} | {} | {} | {} |\n", path_of(*cell.cell, *arm.arm), run.seed, gates,
                              shown(value_of(trial, run)));
      }
  if (rows.empty()) return "";
  return "\n## Gates\n\nShare of pairs for which the gate of the score network is open, block by block, at the end: where it "
         "is 0 "
         "attention is uniform, and stays so.\n\n" +
         table_head({"arm", "seed", "open", trial.options.metric}) + rows;
}

std::string runs_section(const Trial& trial, const std::vector<CellResult>& cells, const std::filesystem::path& folder) {
  double seconds = 0;
  std::string rows;
  for (const RunRecord& run : runs_below(folder)) {
    if (!std::isnan(run.step_seconds)) seconds += run.step_seconds * static_cast<double>(run.done);
    rows +=
        fmt::format("| {} | {} | {} of {} | {} | {} |\n", run.folder.lexically_relative(folder).string(), run.seed, run.done,
                    run.steps, run.diverged.empty() ? shown(value_of(trial, run)) : "diverged", counts_for(cells, run));
  }
  return fmt::format("\n## Every run under this name\n\nIn all {:.2g} hours of training steps.\n\n", seconds / 3600) +
         table_head({"run", "seed", "steps", "result", "counts for"}) + rows;
}

}  // namespace tapir
