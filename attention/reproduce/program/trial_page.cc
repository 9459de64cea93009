#include "attention/reproduce/program/trial_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/trial_figures.h"

namespace tapir {
namespace {

std::string shown(double value) { return std::isnan(value) ? "–" : fmt::format("{:.5g}", value); }

std::string shown(const Interval& interval) {
  return std::isnan(interval.half_width) ? shown(interval.mean) : fmt::format("{:.5g} ± {:.2g}", interval.mean, interval.half_width);
}

std::string in_cell(const std::string& cell) { return cell.empty() ? "" : fmt::format(" in {}", cell); }

// A table's head and its rule.
std::string head(const std::vector<std::string>& names) {
  std::string top = "|", rule = "|";
  for (const std::string& name : names) top += fmt::format(" {} |", name), rule += "---|";
  return top + '\n' + rule + '\n';
}

// The last value of a metric that a run has logged; NaN: none.
double last_of(const RunRecord& run, const std::string& metric) {
  for (auto line = run.metrics.rbegin(); line != run.metrics.rend(); ++line)
    for (const auto& [name, value] : line->values)
      if (name == metric) return line->number(name);
  return std::numeric_limits<double>::quiet_NaN();
}

// Over the finished runs; those that diverged are counted beside it.
std::string mean_of(const ArmResult& arm, const std::function<double(const RunRecord&)>& value) {
  std::vector<double> values;
  size_t diverged = 0;
  for (const RunRecord& run : arm.counted) {
    if (!run.finished()) ++diverged;
    else if (const double one = value(run); !std::isnan(one)) values.push_back(one);
  }
  return shown(mean_interval(values)) + (diverged > 0 ? fmt::format(", {} diverged", diverged) : "");
}

std::string sentence(const TrialOptions& criterion, const Ruling& ruling) {
  const bool better = criterion.expects == "better";
  const double difference = criterion.difference;
  std::string reason;
  switch (ruling.kind) {
    case Ruling::holds:
      reason = better ? fmt::format("above 0, and at least {:.4g}", difference) : fmt::format("above minus {:.4g}", difference);
      break;
    case Ruling::fails:
      reason = fmt::format("the whole interval is below {}{:.4g}", better ? "" : "minus ", difference);
      break;
    case Ruling::undecided:
      reason = fmt::format("half-width {:.2g}; about {} seeds would decide, if mean and deviation stayed",
                           ruling.interval.half_width, ruling.seeds_needed);
  }
  const Pairing& pairing = ruling.pairing;
  return fmt::format("{} against {}{}: {}. A gain of {} over {} pairs of seeds (p = {:.2g}, corrected): {}.", pairing.subject,
                     pairing.against, in_cell(pairing.cell), name_of(ruling.kind), shown(ruling.interval), pairing.gains.size(),
                     ruling.corrected, reason);
}

// Of each subject over the baseline, over the pairs of all cells.
std::string joint_statements(const Trial& trial, const std::vector<CellResult>& cells, const std::vector<Ruling>& rulings) {
  std::string all;
  std::set<std::string> subjects;
  for (const Ruling& ruling : rulings) subjects.insert(ruling.pairing.subject);
  for (const std::string& subject : subjects) {
    int64_t in = 0, won = 0, lost = 0, tied = 0;
    std::vector<std::pair<std::vector<Lifetime>, std::vector<Lifetime>>> strata;
    for (const CellResult& cell : cells)
      for (const Ruling& ruling : rulings) {
        const Pairing& pairing = ruling.pairing;
        if (pairing.cell != cell.cell->name || pairing.subject != subject || pairing.against != cell.arms.front().arm->name) continue;
        ++in;
        for (const double gain : pairing.gains) ++(gain > 0 ? won : gain < 0 ? lost : tied);
        for (const ArmResult& arm : cell.arms)
          if (arm.arm->name == subject) strata.emplace_back(lifetimes_of(cell.arms.front().counted), lifetimes_of(arm.counted));
      }
    if (in < 2) continue;
    all += fmt::format("\n{} against {}, {} cells together: of the pairs with equal seeds {} are won, {} lost and {} tied (sign test, "
                       "p = {:.2g})", subject, cells.front().arms.front().arm->name, in, won, lost, tied, sign_p(won, lost));
    if (trial.options.metric == steps_until_solved)
      all += fmt::format("; log-rank test of the steps until solved, stratified by cell: p = {:.2g}", log_rank(strata).p);
    all += ".\n";
  }
  return all;
}

std::string verdict_section(const Trial& trial, const std::vector<CellResult>& cells, const std::vector<Ruling>& rulings) {
  const double published = trial.options.published;
  double half_width = 0;
  for (const Ruling& ruling : rulings) half_width = std::max(half_width, ruling.interval.half_width);
  std::string section;
  if (published > 0 && !(half_width <= published / 2))
    section = fmt::format("**Not detectable here.** The paper reports a difference of {:.4g}; intervals of this trial have "
                          "half-widths up to {:.2g}, more than half of it.\n\n", published, half_width);
  section += fmt::format("**Verdict: {}.**\n\n", name_of(verdict_of(rulings)));
  for (const Ruling& ruling : rulings) section += fmt::format("* {}\n", sentence(trial.options, ruling));
  return section + joint_statements(trial, cells, rulings);
}

std::string criterion_section(const Trial& trial, bool higher_is_better) {
  const TrialOptions& criterion = trial.options;
  std::string section = "\n## Claim and criterion, fixed before the runs\n\n" + head({"", ""});
  const auto row = [&](const char* name, const std::string& value) { section += fmt::format("| {} | {} |\n", name, value); };
  row("claim", criterion.claim);
  row("source", criterion.source);
  row("metric", fmt::format("{}, {} is better", criterion.metric, higher_is_better ? "higher" : "lower"));
  row("expected", fmt::format("of subjects against the baseline and controls: {}",
                              criterion.expects == "better" ? "better" : "not worse"));
  row("difference that counts", fmt::format("{:.6g}", criterion.difference));
  row("because", criterion.reason);
  row("published difference", criterion.published > 0 ? fmt::format("{:.6g}", criterion.published) : "none that compares");
  std::string seeds = fmt::format("{}", criterion.seeds);
  for (const TrialCell& cell : trial.cells)
    if (cell.seeds != criterion.seeds) seeds += fmt::format(", {}{}", cell.seeds, in_cell(cell.name));
  row("seeds", seeds);
  row("learning rates", criterion.rates.empty() ? "those of the experiments" : criterion.rates);
  row("refuted by", criterion.refuted_by);
  row("digest", trial.digest);
  return section;
}

std::string set_up_section(const Trial& trial) {
  if (trial.set_up.empty()) return "";
  std::string section = "\n## The paper's set-up and ours\n\n" + head({"", "paper", "here"});
  for (const SetUp& one : trial.set_up) section += fmt::format("| {} | {} | {} |\n", one.what, one.paper, one.ours);
  return section;
}

// Keys that are not as in the baseline, but for those that every run has of its own.
std::string changed(const RunRecord& run, const RunRecord& baseline) {
  std::string all;
  for (const auto& [key, value] : run.settings) {
    const auto found = baseline.settings.find(key);
    if (key != "run.seed" && key != "schedule.rate" && (found == baseline.settings.end() || found->second != value))
      all += fmt::format("{}`{} = {}`", all.empty() ? "" : ", ", key, value);
  }
  return all.empty() ? "nothing" : all;
}

std::string arms_section(const std::vector<CellResult>& cells) {
  std::string section = "\n## Arms\n\n" + head({"arm", "role", "against the baseline"});
  std::set<std::string> told;
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms) {
      if (!told.insert(arm.arm->name).second) continue;
      std::string role = name_of(arm.arm->role);
      if (!arm.arm->match.empty()) role += fmt::format(", with the {} of {}", arm.arm->match_in, arm.arm->match);
      section += fmt::format("| {} | {} | {} |\n", arm.arm->name, role,
                             changed(arm.counted.front(), cell.arms.front().counted.front()));
    }
  if (cells.size() < 2) return section;
  section += "\n" + head({"cell", "against the first"});
  for (const CellResult& cell : cells)
    section += fmt::format("| {} | {} |\n", cell.cell->name,
                           changed(cell.arms.front().counted.front(), cells.front().arms.front().counted.front()));
  return section;
}

std::string rates_section(const Trial& trial, const std::vector<CellResult>& cells) {
  if (trial.rates.size() < 2) return "";
  std::vector<std::string> names{"arm"};
  for (const double rate : trial.rates) names.push_back(fmt::format("{:.3g}", rate));
  std::string section = "\n## Learning rates\n\nEvery arm has the same grid: each rate once, with a seed that does not count, a third of "
                        "the steps, judged on the validation part.\n\n" + head(names);
  const auto [least, most] = std::minmax_element(trial.rates.begin(), trial.rates.end());
  std::string edges;
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms) {
      const std::string path = path_of(*cell.cell, *arm.arm);
      section += fmt::format("| {} |", path);
      for (const auto& [rate, run] : arm.grid) {
        std::string result = shown(run.finished() ? run.judged.result : value_of(trial, run));
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

std::string results_section(const Trial& trial, const std::vector<CellResult>& cells, const std::vector<Ruling>& rulings,
                            const std::map<std::string, std::string>& pictures, const std::string& below) {
  std::string section = fmt::format("\n## Results\n\n± are 95 % intervals, Student's t, over seeds ({}). Those of gains are paired, and "
                                    "corrected for {} comparison{} (Holm); a run that diverged counts as the worst of its cell.\n",
                                    cells[0].arms[0].counted.front().seed_decides, rulings.size(), rulings.size() == 1 ? "" : "s");
  for (const CellResult& cell : cells) {
    if (!cell.cell->name.empty()) section += fmt::format("\n### {}\n", cell.cell->name);
    std::vector<std::string> names{"arm", trial.options.metric};
    for (const std::string& metric : trial.also) names.push_back(metric);
    for (const char* name : {"rate", "parameters", "operations of a step", "step", "a run", "peak memory"}) names.push_back(name);
    section += '\n' + head(names);
    for (const ArmResult& arm : cell.arms) {
      std::vector<double> step, whole;
      int64_t peak = 0;
      for (const RunRecord& run : arm.counted) {
        step.push_back(run.step_seconds);
        whole.push_back(run.step_seconds * static_cast<double>(run.done));
        peak = std::max(peak, run.peak_bytes);
      }
      section += fmt::format("| {} | {} |", arm.arm->name, mean_of(arm, [&](const RunRecord& run) { return value_of(trial, run); }));
      for (const std::string& metric : trial.also)
        section += fmt::format(" {} |", mean_of(arm, [&](const RunRecord& run) { return last_of(run, metric); }));
      const RunRecord& first = arm.counted.front();
      section += fmt::format(" {:.3g} | {} | {:.4g} | {:.3g} ms | {:.3g} s | {:.0f} MiB |\n", arm.rate, first.parameters,
                             static_cast<double>(first.operations), 1e3 * median(step), median(whole),
                             static_cast<double>(peak) / (1 << 20));
    }
    const std::string picture = picture_name(cell);
    if (pictures.contains(picture)) section += fmt::format("\n![{}]({}{})\n", picture, below, picture);
  }
  return section;
}

std::string solved_section(const Trial& trial, const std::vector<CellResult>& cells) {
  if (trial.options.metric != steps_until_solved) return "";
  std::string section = "\n## Solved runs\n\nShares have Wilson's 95 % interval, medians are Kaplan and Meier's, with theirs: – where "
                        "too few runs are solved to say.\n\n" + head({"cell", "arm", "solved", "share", "median of steps"});
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms) {
      const auto of = static_cast<int64_t>(arm.counted.size());
      const int64_t solved = std::count_if(arm.counted.begin(), arm.counted.end(), [](const RunRecord& run) { return run.solved > 0; });
      const Interval share = wilson(solved, of);
      const Survival curve = survival(lifetimes_of(arm.counted));
      section += fmt::format("| {} | {} | {} of {} | {:.2f} … {:.2f} | {} ({} … {}) |\n", cell.cell->name, arm.arm->name, solved, of,
                             share.mean - share.half_width, share.mean + share.half_width, shown(curve.median),
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
          rows += fmt::format("| {} | {} | {} | {} |\n", path_of(*cell.cell, *arm.arm), run.seed, gates, shown(value_of(trial, run)));
      }
  if (rows.empty()) return "";
  return "\n## Gates\n\nShare of pairs for which the gate of the score network is open, block by block, at the end: where it is 0 "
         "attention is uniform, and stays so.\n\n" + head({"arm", "seed", "open", trial.options.metric}) + rows;
}

std::string change_section(const Trial& trial, const std::vector<Ruling>& rulings) {
  std::string section = fmt::format("\n## What would change the verdict\n\nRefuted by: {}.\n", trial.options.refuted_by);
  for (const Ruling& ruling : rulings)
    if (ruling.kind == Ruling::undecided)
      section += fmt::format("\n{} against {}{} is open: about {} seeds would decide it.\n", ruling.pairing.subject,
                             ruling.pairing.against, in_cell(ruling.pairing.cell), ruling.seeds_needed);
  return section;
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

std::string runs_section(const Trial& trial, const std::vector<CellResult>& cells, const std::vector<RunRecord>& all_runs,
                         const std::filesystem::path& base) {
  double seconds = 0;
  std::string rows;
  for (const RunRecord& run : all_runs) {
    if (!std::isnan(run.step_seconds)) seconds += run.step_seconds * static_cast<double>(run.done);
    rows += fmt::format("| {} | {} | {} of {} | {} | {} |\n", run.folder.lexically_relative(base).string(), run.seed, run.done, run.steps,
                        run.diverged.empty() ? shown(value_of(trial, run)) : "diverged", counts_for(cells, run));
  }
  return fmt::format("\n## Every run under this name\n\nIn all {:.2g} hours of training steps.\n\n", seconds / 3600) +
         head({"run", "seed", "steps", "result", "counts for"}) + rows;
}

std::string limits_section(const Trial& trial, const std::vector<CellResult>& cells) {
  std::vector<std::filesystem::path> counted;
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms)
      for (const RunRecord& run : arm.counted) counted.push_back(run.folder);
  std::string section = fmt::format("\n## Limits\n\n{}\n\n{}\n", trial.options.limits, makers_of(counted));
  if (!std::all_of(counted.begin(), counted.end(), is_of_clean_commit))
    section += "\nNot all of these runs come from a build of a clean commit: nobody can repeat them with the code that made them.\n";
  return section;
}

}  // namespace

TrialPage trial_page(Trial& trial, const std::filesystem::path& folder, const std::string& below) {
  const std::vector<CellResult> cells = results_in(trial, folder);
  const std::vector<Ruling> ruled = rulings(trial.options, pairings(trial, cells));
  TrialPage page{.text = fmt::format("# {}\n\n", trial.options.claim), .pictures = {}, .verdict = verdict_of(ruled)};
  for (const CellResult& cell : cells)
    if (std::string picture = figure_of(trial, cell); !picture.empty()) page.pictures[picture_name(cell)] = std::move(picture);
  page.text += verdict_section(trial, cells, ruled) + criterion_section(trial, objective_of(trial, cells[0].arms[0].counted.front()).higher_is_better) + set_up_section(trial) + arms_section(cells) +
               rates_section(trial, cells) + results_section(trial, cells, ruled, page.pictures, below) +
               solved_section(trial, cells) + gates_section(trial, cells) + change_section(trial, ruled) +
               runs_section(trial, cells, runs_below(folder), folder) + limits_section(trial, cells);
  return page;
}

}  // namespace tapir
