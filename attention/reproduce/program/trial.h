// A trial: what is asked of a paper's claim, fixed before the first run.
//
//   [trial]                       the criterion: TrialOptions
//   [[trial.set_up]]              a row of the table that compares the paper's set-up with this one
//   what = "…", paper = "…", ours = "…"
//   [[trial.cell]]                settings in which all is asked again, each with runs of its own; none: the file's alone
//   name = "n16_delay4"           of its folder
//   arms = "…, …"                 those that run in it; not given: all
//   seeds = 3                     of each arm in it; not given: trial.seeds
//   task.delay = 4                any keys of the experiment, over those of the file
//   [[trial.arm]]                 the first one is the baseline
//   name = "expressive"           of its folder
//   role = "subject"              of the claim, or a control, which subjects must stand against as the baseline; not given: the
//                                 second arm is a subject, later ones are controls
//   attention.mechanism = "…"     any keys of the experiment but run.seed, over those of the cell
//   match = "…"                   the arm whose cost this one is given; a control that has it stands against that subject alone
//   match_in = "parameters"       or "operations", by the width of its feed-forward layers, or "time", by its steps; not given:
//                                 parameters
//
// Every other section is that of an experiment. Replication journals ask for such a criterion and its reason beforehand.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "attention/reproduce/program/experiment.h"
#include "attention/reproduce/program/match.h"

namespace tapir {

struct TrialOptions : nn::Options {   // [trial]
  std::string claim, source, reason, refuted_by, limits;
  std::string metric, also;
  std::string expects = "better";
  double difference = 0;
  double published = 0;
  int64_t seeds = 5;
  std::string rates;

  void fields(nn::FieldVisitor& visit) override {
    visit("claim", claim, "what the paper says, in one sentence", {});
    visit("source", source, "where it says so: paper, section, table", {});
    visit("metric", metric, "by which it is judged: that of the task; or steps_until_solved, of runs that end when solved", {});
    visit("also", also, "further results of an evaluation that the page shows, with commas between", {});
    visit("expects", expects,
          "of subjects against the baseline and controls: better by the difference that counts, or not worse by it",
          {"better", "not_worse"});
    visit("difference", difference, "of the metric, that would count; in its unit", nn::between(0, 1e12));
    visit("reason", reason, "why this difference", {});
    visit("published", published, "difference that the paper reports, in the same unit; 0: none that compares",
          nn::between(0, 1e12));
    visit("seeds", seeds, "of each arm, from run.seed on", nn::between(2, 1000));
    visit("rates", rates,
          "learning rates of which each arm gets the best, as numbers with commas between; empty: schedule.rate", {});
    visit("refuted_by", refuted_by, "what would speak against the claim", {});
    visit("limits", limits, "what this study cannot say", {});
  }
};

struct SetUp : nn::Options {   // [[trial.set_up]]
  std::string what, paper, ours;

  void fields(nn::FieldVisitor& visit) override {
    visit("what", what, "what is compared: the text, the model, the tokens of a step", {});
    visit("paper", paper, "of the paper", {});
    visit("ours", ours, "of this trial", {});
  }
};

enum class Role { baseline, subject, control };
const char* name_of(Role role);

struct TrialArm {
  std::string name;
  Role role;
  std::string match, match_in;   // "": matched with none
  Experiment experiment;         // of the first seed, at schedule.rate
};

struct TrialCell {
  std::string name;              // "": it is the only one
  int64_t seeds;
  std::vector<TrialArm> arms;    // the first one is the baseline
};

inline constexpr const char* steps_until_solved = "steps_until_solved";

struct Trial {
  std::string name;
  TrialOptions options;
  std::vector<SetUp> set_up;
  std::vector<double> rates;     // the grid; empty: every arm has that of its experiment
  std::vector<std::string> also;
  std::vector<TrialCell> cells;
  std::string digest;            // SHA-256 of what file and assignments say: runs keep it from before their first step
};

// The run of an arm that the result counts, number 0, 1, …; and its run on the grid of rates: a third of the steps and of the
// warm-up, with a seed that no counted run has.
Experiment counted_run(TrialArm& arm, int64_t number, double rate);
Experiment grid_run(const TrialCell& cell, TrialArm& arm, double rate);

// "n16_delay4/expressive", or "expressive" where there is one cell: its folder below that of the trial.
std::string path_of(const TrialCell& cell, const TrialArm& arm);

// Needs no data. Throws Error for what read_experiment refuses in any arm, for a criterion that leaves something open, cells
// and arms without a name of their own, a match that is none, arms of a cell that have other seeds than their baseline or are
// more than a picture can show, more seeds than there are, and without a baseline and a subject.
Trial read_trial(const std::filesystem::path& file, const std::vector<std::string>& assignments);

// Before runs: gives arms the cost of those that they are matched with, but for their time. Throws Error for a metric that is
// not the task's, results in `also` that an evaluation does not give, and arms of a cell whose results do not compare
// (record.h), or whose steps until solved do not: with other steps, goals or evaluations, or with none before the last step.
// Throws what match_width (match.h) and the task throw.
void prepare(Trial& trial);

// Of a step of every arm, by path_of, with the `threads` that each run has. Throws what step_times (match.h) throws.
StepTimes times_in(Trial& trial, const std::filesystem::path& folder, int threads);
// Gives arms that are matched in time as many steps as that takes. Throws Error where a time is missing.
void match_times(Trial& trial, const StepTimes& times);

}  // namespace tapir
