// A trial: what is asked of a paper's claim, fixed before the first run, the runs that answer it, and the answer.
//
//   [trial]                       the criterion: TrialOptions
//   [[trial.arm]]                 the baseline, then the subject of the claim, then controls that it must stand against as well
//   name = "expressive"           of its folder
//   attention.mechanism = "…"     any keys of the experiment, over those of the file
//   match = "…"                   an arm whose parameters this one is given, by the width of its feed-forward layers
//
// Every other section is that of an experiment. Replication journals ask for such a criterion and its reason beforehand.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "attention/reproduce/program/experiment.h"

namespace tapir {

struct TrialOptions : nn::Options {   // [trial]
  std::string claim, source, reason, refuted_by, limits;
  std::string metric;
  std::string expects = "better";
  double difference = 0;
  double published = 0;
  int64_t seeds = 5;
  std::string rates;

  void fields(nn::FieldVisitor& visit) override {
    visit("claim", claim, "what the paper says, in one sentence", {});
    visit("source", source, "where it says so: paper, section, table", {});
    visit("metric", metric, "by which it is judged: that of the task", {});
    visit("expects", expects, "of the subject against every other arm: better by the difference that counts, or not worse by it",
          {"better", "not_worse"});
    visit("difference", difference, "of the metric, that would count; in its unit", nn::between(0, 1e12));
    visit("reason", reason, "why this difference", {});
    visit("published", published, "difference that the paper reports, in the same unit; 0: none that compares",
          nn::between(0, 1e12));
    visit("seeds", seeds, "of each arm, from run.seed on", nn::between(2, 1000));
    visit("rates", rates, "learning rates of which each arm gets the best, as numbers with commas between; empty: schedule.rate",
          {});
    visit("refuted_by", refuted_by, "what would speak against the claim", {});
    visit("limits", limits, "what this study cannot say", {});
  }
};

struct TrialArm {
  std::string name, match;   // "": matched with none
  Experiment experiment;     // of the first seed, at schedule.rate
};

struct Trial {
  std::string name;
  TrialOptions options;
  std::vector<double> rates;   // the grid; the one of the experiment alone where the criterion gives none
  Objective objective;
  std::vector<TrialArm> arms;
  std::string digest;          // SHA-256 of criterion and arms: runs keep it from before their first step
};

// The run of an arm that the result counts, number 0, 1, …; and its run on the grid of rates: a third of the steps and of the
// warm-up, with a seed that no counted run has.
Experiment counted_run(TrialArm& arm, int64_t number, double rate);
Experiment grid_run(Trial& trial, TrialArm& arm, double rate);

// Throws Error for what read_experiment refuses in any arm, for a criterion that leaves something open, a metric that is not the
// task's, arms without a name of their own or that cannot be matched, and for fewer than two arms.
Trial read_trial(const std::filesystem::path& file, const std::vector<std::string>& assignments);

}  // namespace tapir
