#include "attention/reproduce/program/trial_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/reproduce/program/environment.h"

namespace tapir {
namespace {

std::string shown(double value) { return std::isnan(value) ? "–" : fmt::format("{:.5g}", value); }

std::string shown(const Interval& interval) {
  return std::isnan(interval.half_width) ? shown(interval.mean) : fmt::format("{:.5g} ± {:.2g}", interval.mean, interval.half_width);
}

Interval result_of(const TrialResult& arm) {
  std::vector<double> results;
  for (const RunRecord& run : arm.counted)
    if (run.finished()) results.push_back(run.judged.result);
  return mean_interval(results);
}

// One sentence for each arm that the subject stands against.
std::string sentence(const Trial& trial, const std::string& subject, const Ruling& ruling) {
  const bool better = trial.options.expects == "better";
  const std::string gain = fmt::format("a gain of {} over {} pairs of seeds", shown(ruling.interval), ruling.gains.size());
  const std::string against = fmt::format("{} against {}: {}", subject, ruling.against, name_of(ruling.kind));
  const std::string boundary = fmt::format("{} {:.4g}", better ? "" : "minus", trial.options.difference);
  switch (ruling.kind) {
    case Ruling::holds:
      return better ? fmt::format("{}. {}: above 0, and at least {:.4g}.", against, gain, trial.options.difference)
                    : fmt::format("{}. {}: above minus {:.4g}.", against, gain, trial.options.difference);
    case Ruling::fails:
      return fmt::format("{}. {}: the whole interval is below {}{:.4g}.", against, gain, better ? "" : "minus ",
                         trial.options.difference);
    case Ruling::undecided:
      return fmt::format("{}. {}: half-width {:.2g}; about {} seeds would decide, if mean and deviation stayed.", against, gain,
                         ruling.interval.half_width, ruling.seeds_needed);
  }
  return "";
}

std::string counts_for(const Trial& trial, const std::vector<TrialResult>& arms, const RunRecord& run) {
  if (run.trial != trial.digest) return "nothing: another criterion, or none";
  for (const TrialResult& arm : arms)
    for (const RunRecord& counted : arm.counted)
      if (counted.folder == run.folder) return "the result";
  return run.folder.filename().string().starts_with("rate-") ? "the choice of the rate" : "nothing: discarded";
}

}  // namespace

const char* name_of(Ruling::Kind kind) {
  return kind == Ruling::holds ? "holds" : kind == Ruling::fails ? "does not hold here" : "undecided";
}

std::string trial_page(const Trial& trial, const std::vector<TrialResult>& arms, const std::vector<Ruling>& rulings,
                       const std::vector<RunRecord>& all_runs, const std::filesystem::path& base) {
  const TrialOptions& criterion = trial.options;
  const std::string& subject = arms[1].name;
  std::string page = fmt::format("# {}\n\n", criterion.claim);

  double half_width = 0;
  for (const Ruling& ruling : rulings) half_width = std::max(half_width, ruling.interval.half_width);
  if (criterion.published > 0 && !(half_width <= criterion.published / 2))
    page += fmt::format("**Not detectable here.** The paper reports a difference of {:.4g}; intervals of this trial have half-widths "
                        "up to {:.2g}, more than half of it.\n\n", criterion.published, half_width);
  page += fmt::format("**Verdict: {}.**\n\n", name_of(verdict_of(rulings)));
  for (const Ruling& ruling : rulings) page += fmt::format("* {}\n", sentence(trial, subject, ruling));

  page += fmt::format("\n## Criterion, fixed before the runs\n\n| | |\n|---|---|\n"
                      "| claim | {} |\n| source | {} |\n| metric | {}, {} is better |\n| expected | {} is {} than every other arm |\n"
                      "| difference that counts | {:.6g} |\n| because | {} |\n| published difference | {} |\n| seeds | {} |\n"
                      "| learning rates | {} |\n| refuted by | {} |\n| digest | {} |\n\n",
                      criterion.claim, criterion.source, criterion.metric, trial.objective.higher_is_better ? "higher" : "lower",
                      subject, criterion.expects == "better" ? "better" : "not worse", criterion.difference, criterion.reason,
                      criterion.published > 0 ? fmt::format("{:.6g}", criterion.published) : "none that compares", criterion.seeds,
                      criterion.rates.empty() ? "that of the experiment" : criterion.rates, criterion.refuted_by, trial.digest);
  page += fmt::format("Intervals: 95 %, Student's t, over seeds ({}), paired, corrected for {} comparison{} (Holm). A run that diverged "
                      "counts as the worst of all.\n\n", arms[0].counted.front().seed_decides, rulings.size(),
                      rulings.size() == 1 ? "" : "s");

  page += fmt::format("## Results\n\n| arm | {} | gain of {} | p, corrected | rate | parameters | operations of a step | step | peak "
                      "memory |\n|---|---|---|---|---|---|---|---|---|\n", criterion.metric, subject);
  for (size_t k = 0; k < arms.size(); ++k) {
    const TrialResult& arm = arms[k];
    const Ruling* const ruling = k == 1 ? nullptr : &rulings[k == 0 ? 0 : k - 1];
    std::vector<double> seconds;
    int64_t peak = 0;
    for (const RunRecord& run : arm.counted) seconds.push_back(run.step_seconds), peak = std::max(peak, run.peak_bytes);
    page += fmt::format("| {} | {} | {} | {} | {:.3g} | {} | {:.4g} | {:.3g} ms | {:.0f} MiB |\n", arm.name, shown(result_of(arm)),
                        ruling ? shown(ruling->interval) : "", ruling ? fmt::format("{:.2g}", ruling->corrected) : "", arm.rate,
                        arm.counted.front().parameters, static_cast<double>(arm.counted.front().operations),
                        1e3 * median(seconds), static_cast<double>(peak) / (1 << 20));
  }
  page += "\n| arm | against the baseline |\n|---|---|\n";
  for (const TrialResult& arm : arms) page += fmt::format("| {} | {} |\n", arm.name, arm.changed.empty() ? "itself" : arm.changed);

  if (std::any_of(arms.begin(), arms.end(), [](const TrialResult& arm) { return !arm.grid.empty(); })) {
    page += "\nLearning rates, each with one seed that does not count, a third of the steps, judged on the validation part:\n\n| arm |";
    for (const double rate : trial.rates) page += fmt::format(" {:.3g} |", rate);
    page += "\n|---|" + [&] { std::string line; for (size_t k = 0; k < trial.rates.size(); ++k) line += "---|"; return line; }() + '\n';
    for (const TrialResult& arm : arms) {
      page += fmt::format("| {} |", arm.name);
      for (const GridResult& one : arm.grid) page += fmt::format(" {}{} |", shown(one.result), one.rate == arm.rate ? ", taken" : "");
      page += '\n';
    }
  }

  page += "\n## Every run under this name\n\n| run | seed | steps | result | counts for |\n|---|---|---|---|---|\n";
  for (const RunRecord& run : all_runs)
    page += fmt::format("| {} | {} | {} of {} | {} | {} |\n", run.folder.lexically_relative(base).string(), run.seed, run.done, run.steps,
                        run.diverged.empty() ? shown(run.judged.result) : "diverged", counts_for(trial, arms, run));

  std::vector<std::filesystem::path> counted;
  for (const TrialResult& arm : arms)
    for (const RunRecord& run : arm.counted) counted.push_back(run.folder);
  page += fmt::format("\n{}\n", makers_of(counted));

  page += fmt::format("\n## Limits\n\n{}\n", criterion.limits);
  if (!std::all_of(counted.begin(), counted.end(), is_of_clean_commit))
    page += "\nNot all of these runs come from a build of a clean commit: nobody can repeat them with the code that made them.\n";
  for (const TrialResult& arm : arms)
    if (trial.rates.size() > 1 && (arm.rate == *std::min_element(trial.rates.begin(), trial.rates.end()) ||
                                   arm.rate == *std::max_element(trial.rates.begin(), trial.rates.end())))
      page += fmt::format("\nThe best rate of {} is at the edge of the grid: a better one may lie beyond.\n", arm.name);
  return page;
}

}  // namespace tapir
