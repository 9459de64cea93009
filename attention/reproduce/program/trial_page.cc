#include "attention/reproduce/program/trial_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/trial_figures.h"
#include "attention/reproduce/program/trial_tables.h"

namespace tapir {
namespace {

std::string in_cell(const std::string& cell) { return cell.empty() ? "" : fmt::format(" in {}", cell); }

std::string sentence(const TrialOptions& criterion, const Ruling& ruling, size_t of) {
  const bool better = criterion.expects == "better";
  const double difference = criterion.difference;
  const Pairing& pairing = ruling.pairing;
  const std::string ruled =
      fmt::format("{} against {}{}: {}", pairing.subject, pairing.against, in_cell(pairing.cell), name_of(ruling.kind));
  if (!pairing.diverged.empty())
    return fmt::format("{}. There is no gain: {} has diverged, and the others do not stand for all.", ruled, pairing.diverged);
  std::string reason;
  switch (ruling.alone) {
    case Ruling::holds:
      reason = better ? fmt::format("above 0, and at least {:.4g}", difference) : fmt::format("above minus {:.4g}", difference);
      break;
    case Ruling::fails:
      reason = fmt::format("the whole interval is below {}{:.4g}", better ? "" : "minus ", difference);
      break;
    case Ruling::undecided:
      reason = fmt::format("half-width {:.2g}; about {} seeds would decide, if mean and deviation stayed",
                           ruling.interval.half_width, seeds_needed(criterion, ruling, of));
  }
  if (ruling.kind != ruling.alone)
    reason += fmt::format("; but in {} of these pairs neither run is solved, and the others alone do not say so",
                          pairing.gains.size() - pairing.known.size());
  return fmt::format("{}. A gain of {} over {} pairs of seeds: {}.", ruled, shown(ruling.interval), pairing.gains.size(),
                     reason);
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
        if (pairing.cell != cell.cell->name || pairing.subject != subject || pairing.against != cell.arms.front().arm->name ||
            pairing.gains.empty())
          continue;
        ++in;
        for (const double gain : pairing.gains) ++(gain > 0 ? won : gain < 0 ? lost : tied);
        for (const ArmResult& arm : cell.arms)
          if (arm.arm->name == subject) strata.emplace_back(lifetimes_of(cell.arms.front().counted), lifetimes_of(arm.counted));
      }
    if (in < 2) continue;
    const double sign = sign_p(won, lost), rank = log_rank(strata).p;   // NaN: all are ties, none is solved
    all += fmt::format("\n{} against {}, {} cells together: of the pairs with equal seeds {} are won, {} lost and {} tied{}",
                       subject, cells.front().arms.front().arm->name, in, won, lost, tied,
                       std::isnan(sign) ? "" : fmt::format(" (sign test, p = {:.2g})", sign));
    if (trial.options.metric == steps_until_solved && !std::isnan(rank))
      all += fmt::format("; log-rank test of the steps until solved, stratified by cell: p = {:.2g}", rank);
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
  const auto fallen =
      std::count_if(rulings.begin(), rulings.end(), [](const Ruling& one) { return one.kind == Ruling::fails; });
  if (fallen > 0)   // which of its words are met is for readers to see
    section += fmt::format("**By {} of {} rulings the claim does not hold.** What would refute it was written before the runs: "
                           "{}.\n\n", fallen, rulings.size(), trial.options.refuted_by);
  for (const Ruling& ruling : rulings) section += fmt::format("* {}\n", sentence(trial.options, ruling, rulings.size()));
  return section + joint_statements(trial, cells, rulings);
}

std::string criterion_section(const Trial& trial, bool higher_is_better) {
  const TrialOptions& criterion = trial.options;
  std::string section = "\n## Claim and criterion, fixed before the runs\n\n" + table_head({"", ""});
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
  std::string section = "\n## The paper's set-up and ours\n\n" + table_head({"", "paper", "here"});
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
  std::string section = "\n## Arms\n\n" + table_head({"arm", "role", "against the baseline"});
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
  section += "\n" + table_head({"cell", "against the first"});
  for (const CellResult& cell : cells)
    section += fmt::format("| {} | {} |\n", cell.cell->name,
                           changed(cell.arms.front().counted.front(), cells.front().arms.front().counted.front()));
  return section;
}

std::string change_section(const Trial& trial, const std::vector<Ruling>& rulings) {
  std::string section = fmt::format("\n## What would change the verdict\n\nRefuted by: {}.\n", trial.options.refuted_by);
  for (const Ruling& ruling : rulings)
    if (const int64_t seeds = seeds_needed(trial.options, ruling, rulings.size()))
      section += fmt::format("\n{} against {}{} is open: about {} seeds would decide it.\n", ruling.pairing.subject,
                             ruling.pairing.against, in_cell(ruling.pairing.cell), seeds);
  return section;
}

std::string limits_section(const Trial& trial, const std::vector<CellResult>& cells) {
  std::vector<std::filesystem::path> runs;
  for (const CellResult& cell : cells)
    for (const ArmResult& arm : cell.arms) {
      for (const auto& one : arm.grid) runs.push_back(one.second.folder);
      for (const RunRecord& run : arm.counted) runs.push_back(run.folder);
    }
  std::string section = fmt::format("\n## Limits\n\n{}\n\n{}\n", trial.options.limits, makers_of(runs));
  if (!std::all_of(runs.begin(), runs.end(), is_of_clean_commit))
    section +=
        "\nNot all of these runs come from a build of a clean commit: nobody can repeat them with the code that made them.\n";
  return section;
}

}  // namespace

TrialPage trial_page(Trial& trial, const std::filesystem::path& folder, const std::string& below) {
  const std::vector<CellResult> cells = results_in(trial, folder);
  const std::vector<Ruling> ruled = rulings(trial.options, pairings(trial, cells));
  TrialPage page{.text = fmt::format("# {}\n\n", trial.options.claim), .pictures = {}, .verdict = verdict_of(ruled)};
  for (const CellResult& cell : cells)
    if (std::string picture = figure_of(trial, cell); !picture.empty()) page.pictures[picture_name(cell)] = std::move(picture);
  const bool higher_is_better = objective_of(trial, cells[0].arms[0].counted.front()).higher_is_better;
  page.text += verdict_section(trial, cells, ruled) + criterion_section(trial, higher_is_better) + set_up_section(trial) +
               arms_section(cells) + rates_section(trial, cells) +
               results_section(trial, cells, ruled.size(), page.pictures, below) + solved_section(trial, cells) +
               gates_section(trial, cells) + change_section(trial, ruled) + runs_section(trial, cells, folder) +
               limits_section(trial, cells);
  return page;
}

}  // namespace tapir
