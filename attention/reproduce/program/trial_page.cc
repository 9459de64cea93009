#include "attention/reproduce/program/trial_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "attention/reproduce/program/environment.h"

namespace tapir {
namespace {

std::string shown(double value) { return std::isnan(value) ? "–" : fmt::format("{:.5g}", value); }

std::string shown(const Interval& interval) {
  return std::isnan(interval.half_width) ? shown(interval.mean) : fmt::format("{:.5g} ± {:.2g}", interval.mean, interval.half_width);
}

// Of the finished runs; those that diverged are counted beside it.
std::string result_of(const TrialResult& arm) {
  std::vector<double> results;
  for (const RunRecord& run : arm.counted)
    if (run.finished()) results.push_back(run.judged.result);
  const size_t diverged = arm.counted.size() - results.size();
  return shown(mean_interval(results)) + (diverged > 0 ? fmt::format(", {} diverged", diverged) : "");
}

// Of the subject against one arm.
std::string sentence(const TrialOptions& criterion, const std::string& subject, const Ruling& ruling) {
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
  return fmt::format("{} against {}: {}. A gain of {} over {} pairs of seeds: {}.", subject, ruling.against, name_of(ruling.kind),
                     shown(ruling.interval), ruling.gains.size(), reason);
}

const char* counts_for(const std::vector<TrialResult>& arms, const RunRecord& run) {
  for (const TrialResult& arm : arms) {
    for (const RunRecord& counted : arm.counted)
      if (counted.folder == run.folder) return "the result";
    for (const GridResult& one : arm.grid)
      if (one.folder == run.folder) return "the choice of the rate";
  }
  return "nothing: discarded";
}

std::string verdict_section(const Trial& trial, const std::string& subject, const std::vector<Ruling>& rulings) {
  const double published = trial.options.published;
  double half_width = 0;
  for (const Ruling& ruling : rulings) half_width = std::max(half_width, ruling.interval.half_width);
  std::string section;
  if (published > 0 && !(half_width <= published / 2))
    section = fmt::format("**Not detectable here.** The paper reports a difference of {:.4g}; intervals of this trial have "
                          "half-widths up to {:.2g}, more than half of it.\n\n", published, half_width);
  section += fmt::format("**Verdict: {}.**\n\n", name_of(verdict_of(rulings)));
  for (const Ruling& ruling : rulings) section += fmt::format("* {}\n", sentence(trial.options, subject, ruling));
  return section;
}

std::string criterion_section(const Trial& trial, const std::string& subject) {
  const TrialOptions& criterion = trial.options;
  std::string section = "\n## Criterion, fixed before the runs\n\n| | |\n|---|---|\n";
  const auto row = [&](const char* name, const std::string& value) { section += fmt::format("| {} | {} |\n", name, value); };
  row("claim", criterion.claim);
  row("source", criterion.source);
  row("metric", fmt::format("{}, {} is better", criterion.metric, trial.objective.higher_is_better ? "higher" : "lower"));
  row("expected", fmt::format("{} is {} than every other arm", subject, criterion.expects == "better" ? "better" : "not worse"));
  row("difference that counts", fmt::format("{:.6g}", criterion.difference));
  row("because", criterion.reason);
  row("published difference", criterion.published > 0 ? fmt::format("{:.6g}", criterion.published) : "none that compares");
  row("seeds", fmt::format("{}", criterion.seeds));
  row("learning rates", criterion.rates.empty() ? "that of the experiment" : criterion.rates);
  row("refuted by", criterion.refuted_by);
  row("digest", trial.digest);
  return section;
}

// `rulings` has none for arm 1, the subject.
std::string results_section(const Trial& trial, const std::vector<TrialResult>& arms, const std::vector<Ruling>& rulings) {
  std::string section = fmt::format("\nIntervals: 95 %, Student's t, over seeds ({}), paired, corrected for {} comparison{} (Holm). A "
                                    "run that diverged counts as the worst of all.\n\n", arms[0].counted.front().seed_decides,
                                    rulings.size(), rulings.size() == 1 ? "" : "s");
  section += fmt::format("## Results\n\n| arm | {} | gain of {} | p, corrected | rate | parameters | operations of a step | step "
                         "| peak memory |\n|---|---|---|---|---|---|---|---|---|\n", trial.options.metric, arms[1].name);
  for (size_t k = 0; k < arms.size(); ++k) {
    const TrialResult& arm = arms[k];
    const Ruling* const ruling = k == 1 ? nullptr : &rulings[k == 0 ? 0 : k - 1];
    std::vector<double> seconds;
    int64_t peak = 0;
    for (const RunRecord& run : arm.counted) seconds.push_back(run.step_seconds), peak = std::max(peak, run.peak_bytes);
    section += fmt::format("| {} | {} | {} | {} | {:.3g} | {} | {:.4g} | {:.3g} ms | {:.0f} MiB |\n", arm.name, result_of(arm),
                           ruling ? shown(ruling->interval) : "", ruling ? fmt::format("{:.2g}", ruling->corrected) : "",
                           arm.rate, arm.counted.front().parameters, static_cast<double>(arm.counted.front().operations),
                           1e3 * median(seconds), static_cast<double>(peak) / (1 << 20));
  }
  section += "\n| arm | against the baseline |\n|---|---|\n";
  for (const TrialResult& arm : arms)
    section += fmt::format("| {} | {} |\n", arm.name, arm.changed.empty() ? "itself" : arm.changed);
  return section;
}

std::string rates_section(const Trial& trial, const std::vector<TrialResult>& arms) {
  if (trial.rates.size() < 2) return "";
  std::string heads = "| arm |", rule = "|---|", rows;
  for (const double rate : trial.rates) heads += fmt::format(" {:.3g} |", rate), rule += "---|";
  for (const TrialResult& arm : arms) {
    rows += fmt::format("| {} |", arm.name);
    for (const GridResult& one : arm.grid)
      rows += fmt::format(" {}{} |", shown(one.result), one.rate == arm.rate ? ", taken" : "");
    rows += '\n';
  }
  return fmt::format("\nLearning rates, each with one seed that does not count, a third of the steps, judged on the validation "
                     "part:\n\n{}\n{}\n{}", heads, rule, rows);
}

std::string runs_section(const std::vector<TrialResult>& arms, const std::vector<RunRecord>& all_runs,
                         const std::filesystem::path& base) {
  std::string section =
      "\n## Every run under this name\n\n| run | seed | steps | result | counts for |\n|---|---|---|---|---|\n";
  for (const RunRecord& run : all_runs)
    section += fmt::format("| {} | {} | {} of {} | {} | {} |\n", run.folder.lexically_relative(base).string(), run.seed, run.done,
                           run.steps, run.diverged.empty() ? shown(run.judged.result) : "diverged", counts_for(arms, run));
  return section;
}

std::string limits_section(const Trial& trial, const std::vector<TrialResult>& arms) {
  std::vector<std::filesystem::path> counted;
  for (const TrialResult& arm : arms)
    for (const RunRecord& run : arm.counted) counted.push_back(run.folder);
  std::string section = fmt::format("\n{}\n\n## Limits\n\n{}\n", makers_of(counted), trial.options.limits);
  if (!std::all_of(counted.begin(), counted.end(), is_of_clean_commit))
    section += "\nNot all of these runs come from a build of a clean commit: nobody can repeat them with the code that made them.\n";
  const auto [least, most] = std::minmax_element(trial.rates.begin(), trial.rates.end());
  for (const TrialResult& arm : arms)
    if (trial.rates.size() > 1 && (arm.rate == *least || arm.rate == *most))
      section += fmt::format("\nThe best rate of {} is at the edge of the grid: a better one may lie beyond.\n", arm.name);
  return section;
}

}  // namespace

const char* name_of(Ruling::Kind kind) {
  return kind == Ruling::holds ? "holds" : kind == Ruling::fails ? "does not hold here" : "undecided";
}

std::string trial_page(const Trial& trial, const std::vector<TrialResult>& arms, const std::vector<Ruling>& rulings,
                       const std::vector<RunRecord>& all_runs, const std::filesystem::path& base) {
  const std::string& subject = arms[1].name;
  return fmt::format("# {}\n\n", trial.options.claim) + verdict_section(trial, subject, rulings) +
         criterion_section(trial, subject) + results_section(trial, arms, rulings) + rates_section(trial, arms) +
         runs_section(arms, all_runs, base) + limits_section(trial, arms);
}

}  // namespace tapir
