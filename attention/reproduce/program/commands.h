// The commands of the program `tapir`. Each writes its result to standard output, throws Error for what cannot be done, and
// returns the exit status.
#pragma once
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "attention/reproduce/program/draw.h"

namespace tapir {

struct TrainCommand {
  std::filesystem::path experiment;         // TOML file; empty when resuming
  std::vector<std::string> assignments;     // section.key=value
  std::filesystem::path out;                // run folder; empty: runs/NAME
  std::filesystem::path resume;             // run folder to go on with
  int64_t stop_after = 0;                   // step; 0: none
  double minutes = std::numeric_limits<double>::infinity();
  bool anomaly = false;                     // check every output and gradient
};
int run_train(const TrainCommand& command);

struct CompareCommand {
  std::filesystem::path experiment;
  std::vector<std::string> mechanisms;      // the others are compared with the first
  int64_t seeds = 3;
  std::string match;                        // "parameters", "operations" or "time"; empty: costs are as they come (match.h)
  int64_t jobs = 1;                         // trained at a time
  std::vector<std::string> assignments;
  std::filesystem::path out;                // empty: runs/compare-NAME
  bool json = false;
};
int run_compare(const CompareCommand& command);   // 1 when a run has diverged

struct TrialCommand {
  std::filesystem::path experiment;         // with a section [trial] (trial.h)
  int64_t jobs = 1;                         // trained at a time
  std::vector<std::string> assignments;
  std::filesystem::path out;                // empty: runs/trial-NAME
};
// Trains what is missing and writes OUT/trial.md; 0 whatever the verdict.
int run_trial(const TrialCommand& command);

struct DossierCommand {
  std::filesystem::path experiment;         // of the trial
  std::filesystem::path runs;               // folder of a trial, whose logs are taken; empty: those that OUT/NAME has
  std::filesystem::path out;
};
// Writes OUT/NAME.md and OUT/NAME/ (dossier.h) where every run has ended; else it takes the logs of those that have, and says so.
int run_dossier(const DossierCommand& command);

// `device`: where to compute, as for open_run(). `json`: the result is one JSON document.

// `paths`: run folders, and folders of comparisons, which stand for their runs. 1 when one has diverged, or what it shows is
// not finite; the page is written all the same, and says so. Verdicts and joint statements are printed, too.
int run_report(const std::vector<std::filesystem::path>& paths, const std::filesystem::path& out, const std::string& device);

struct EvalCommand {
  std::vector<std::filesystem::path> runs;
  std::string part = "valid";               // or "test"
  std::filesystem::path data;               // text file, or folder of texts or images, in place of the run's own; empty: none
  bool classes = false;                     // a table of the classes below each run; Error for a task that has none
  std::string device;
  bool json = false;
};
int run_eval(const EvalCommand& command);

struct GenerateCommand {
  std::filesystem::path run;
  std::string prompt;
  int64_t tokens = 40;
  DrawOptions draw;
  int64_t samples = 1;                      // texts, drawn side by side
  std::string stop;                         // a text ends before these words; empty: it does not
  std::optional<uint64_t> seed;             // of the choice; 1
  std::string device;
};
int run_generate(const GenerateCommand& command);

// The `top` likeliest classes of PNG and JPEG files, by a run that has learned images.
int run_predict(const std::filesystem::path& run, const std::vector<std::filesystem::path>& files, int64_t top,
                const std::string& device, bool json);

struct ReplayCommand {
  std::filesystem::path run;
  int64_t step = 0;                         // from 1 on
  std::string device;
};
// 0 where the logged numbers of the step have come out again, 1 where one differs or there are none.
int run_replay(const ReplayCommand& command);

// Two runs of one experiment that came out differently: where they part. 0 where nothing differs, 1 where something does.
int run_bisect(const std::filesystem::path& a, const std::filesystem::path& b, const std::string& device);

int run_zoo(const std::vector<std::string>& names, bool json);   // none: all mechanisms
// `names`: mechanisms and ops; none: all mechanisms. `all`: every op and every mechanism.
int run_check(const std::vector<std::string>& names, bool all, uint64_t seed, bool json);
// `topic`: a section, whose keys are shown; a file, whose experiment is shown as it is resolved, and where each value comes
// from; empty: all sections. Throws Error for assignments without a file.
int run_config(const std::string& topic, const std::vector<std::string>& assignments);

int run_data_list();
int run_data_verify();
int run_summary(const std::filesystem::path& experiment, const std::vector<std::string>& assignments, bool json);

}  // namespace tapir
