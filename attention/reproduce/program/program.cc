#include "attention/reproduce/program/program.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <limits>
#include <new>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/completion.h"
#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/program/version.h"
#include "tensor/error.h"
#include "tensor/threads.h"

namespace tapir {
namespace {

// Numbers are read and checked as those of a configuration are, and help shows their range.
template <class T>
void add_number(CLI::App& app, const std::string& option, const nn::Range& range, const std::string& help,
                const std::function<void(T)>& set) {
  const auto read = [=](const std::string& word) {
    T value{};
    read_number(option, word, range, value);
    set(value);
  };
  app.add_option_function<std::string>(option, read, help)->type_name(range_text(range));
}

template <class T>
void add_number(CLI::App& app, const std::string& option, const nn::Range& range, const std::string& help, T& value) {
  add_number<T>(app, option, range, help, [&value](T given) { value = given; });
}

// Options of several commands. One that a command has no use for is refused there, not ignored.
struct Common {
  int64_t threads = 0;
  std::string dtype, device, precision;
  std::optional<int64_t> seed;
  bool json = false;

  void add_threads(CLI::App& app) {
    add_number(app, "--threads", nn::between(1, 1024), "threads of the CPU; results do not depend on it", threads);
  }
  void add_types(CLI::App& app) {
    app.add_option("--dtype", dtype, "f32 or f64; short for --set run.dtype=…");
    app.add_option("--device", device, "cpu or cuda; short for --set run.device=…");
    app.add_option("--precision", precision, "f32, tf32 or bf16, of matrix products; short for --set run.precision=…");
  }
  void add_device(CLI::App& app) {
    app.add_option("--device", device, "cpu or cuda (the run's own)")->check(CLI::IsMember({"cpu", "cuda"}));
  }
  void add_seed(CLI::App& app, const char* help) {
    add_number<int64_t>(app, "--seed", nn::between(0, std::numeric_limits<int64_t>::max()), help,
                        [this](int64_t given) { seed = given; });
  }

  void add_json(CLI::App& app) { app.add_flag("--json", json, "one JSON document instead of text"); }

  void apply(std::vector<std::string>& assignments) const {
    if (!dtype.empty()) assignments.push_back("run.dtype=\"" + dtype + '"');
    if (!device.empty()) assignments.push_back("run.device=\"" + device + '"');
    if (!precision.empty()) assignments.push_back("run.precision=\"" + precision + '"');
    if (seed) assignments.push_back(text("run.seed=", *seed));
  }
};

int run(int argc, char** argv) {
  CLI::App app{"tapir: autodiff and a zoo of attention mechanisms", "tapir"};
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", [] { return version_text(); });
  Common common;
  common.add_threads(app);

  TrainCommand train;
  CLI::App* train_app = app.add_subcommand("train", "train an experiment, or go on with a run");
  CLI::Option* experiment = train_app->add_option("experiment", train.experiment, "TOML file, see attention/reproduce/");
  train_app->add_option("--set", train.assignments, "section.key=value, over what the file says")->allow_extra_args(false);
  CLI::Option* resume = train_app->add_option("--resume", train.resume, "go on with this run")->excludes(experiment);
  train_app->add_option("--out", train.out, "run folder (runs/NAME)")->excludes(resume);
  add_number(*train_app, "--stop-after", nn::between(1, 1e12), "save and stop after this step", train.stop_after);
  add_number(*train_app, "--minutes", nn::between(0, 1e6), "save and stop with the step that ends after so many minutes",
             train.minutes);
  train_app->add_flag("--anomaly", train.anomaly,
                      "check every output and gradient; the first NaN or infinity names its op");
  common.add_types(*train_app);
  common.add_seed(*train_app, "short for --set run.seed=…");

  EvalCommand eval;
  CLI::App* eval_app = app.add_subcommand("eval", "results of trained runs on validation or test");
  eval_app->add_option("runs", eval.runs, "run folders, or folders of comparisons")->required();
  eval_app->add_option("--part", eval.part, "valid or test")->check(CLI::IsMember({"valid", "test"}));
  eval_app
      ->add_option("--data", eval.data,
                   "text file, folder of texts or images, or files or archive of CIFAR, in place of the run's own")
      ->allow_extra_args(false);
  eval_app->add_flag("--classes", eval.classes, "a table of the classes: how many are found, and what they are taken for");
  common.add_device(*eval_app);
  common.add_json(*eval_app);

  GenerateCommand generate;
  CLI::App* generate_app = app.add_subcommand("generate", "text from a trained run");
  generate_app->add_option("run", generate.run, "run folder")->required();
  generate_app->add_option("--prompt", generate.prompt, "text to go on from");
  add_number(*generate_app, "--tokens", nn::between(1, 100'000), "how many", generate.tokens);
  add_number(*generate_app, "--temperature", nn::between(0, 100), "of the choice; 0: the likeliest token",
             generate.draw.temperature);
  add_number(*generate_app, "--top-k", nn::between(0, 1e9), "choose among so many likeliest tokens; 0: among all",
             generate.draw.top_k);
  add_number(*generate_app, "--top-p", nn::between(0, 1),
             "choose among the likeliest tokens that have this probability together", generate.draw.top_p);
  add_number(*generate_app, "--samples", nn::between(1, 1000), "texts, drawn side by side", generate.samples);
  generate_app->add_option("--stop", generate.stop, "end the text before these words");
  common.add_seed(*generate_app, "of the choice (1)");
  common.add_device(*generate_app);

  std::filesystem::path trained;
  std::vector<std::filesystem::path> pictures;
  int64_t top = 3;
  CLI::App* predict_app = app.add_subcommand("predict", "classes of images, by a trained run");
  predict_app->add_option("run", trained, "run folder")->required();
  predict_app->add_option("images", pictures, "PNG or JPEG files")->required();
  add_number(*predict_app, "--top", nn::between(1, 1e6), "how many of the likeliest classes", top);
  common.add_device(*predict_app);
  common.add_json(*predict_app);

  CompareCommand compare;
  CLI::App* compare_app = app.add_subcommand("compare", "train mechanisms with several seeds and judge their differences");
  compare_app->add_option("experiment", compare.experiment, "TOML file; its mechanism is replaced")->required();
  compare_app->add_option("--attention", compare.mechanisms, "mechanisms, the baseline first: a,b,c")->delimiter(',')
      ->required()->allow_extra_args(false);
  add_number(*compare_app, "--seeds", nn::between(1, 1000), "how many, from run.seed on", compare.seeds);
  compare_app->add_option("--match", compare.match, "make all cost what the first does: parameters and operations by the width "
                          "of feed-forward layers, time by steps")
      ->check(CLI::IsMember({"parameters", "operations", "time"}));
  add_number(*compare_app, "--jobs", nn::between(1, 256), "runs that are trained at a time, each with one thread", compare.jobs);
  compare_app->add_option("--set", compare.assignments, "section.key=value, over what the file says")
      ->allow_extra_args(false);
  compare_app->add_option("--out", compare.out, "folder of the runs (runs/compare-NAME)");
  common.add_types(*compare_app);
  common.add_seed(*compare_app, "the first seed; short for --set run.seed=…");
  common.add_json(*compare_app);

  TrialCommand trial;
  CLI::App* trial_app = app.add_subcommand("trial", "put a claim on trial: its criterion first, then runs, then a verdict");
  trial_app->add_option("experiment", trial.experiment, "TOML file with a section [trial]")->required();
  add_number(*trial_app, "--jobs", nn::between(1, 256), "runs that are trained at a time, each with one thread", trial.jobs);
  trial_app->add_option("--set", trial.assignments, "section.key=value, over what the file says")->allow_extra_args(false);
  trial_app->add_option("--out", trial.out, "folder of the trial (runs/trial-NAME)");
  common.add_types(*trial_app);
  common.add_seed(*trial_app, "the first seed; short for --set run.seed=…");

  DossierCommand dossier;
  dossier.out = "docs/dossiers";
  CLI::App* dossier_app = app.add_subcommand("dossier", "the page of a trial from the logs of its runs alone");
  dossier_app->add_option("experiment", dossier.experiment, "TOML file with a section [trial]")->required();
  dossier_app->add_option("--runs", dossier.runs, "folder of the trial, whose logs are taken to OUT/NAME");
  dossier_app->add_option("--out", dossier.out, "folder of NAME.md and NAME/ (docs/dossiers)")->allow_extra_args(false);

  std::vector<std::filesystem::path> runs;
  std::filesystem::path page = "report.html";
  CLI::App* report_app = app.add_subcommand("report", "one HTML file of runs: curves, comparison, attention");
  report_app->add_option("runs", runs, "run folders, or folders of comparisons")->required();
  report_app->add_option("--out", page, "file (report.html)")->allow_extra_args(false);
  common.add_device(*report_app);

  ReplayCommand replay;
  CLI::App* replay_app = app.add_subcommand("replay", "compute a step of a run again, and compare it with the log");
  replay_app->add_option("run", replay.run, "run folder")->required();
  add_number(*replay_app, "--step", nn::between(1, 1e12), "which", replay.step);
  replay_app->get_option("--step")->required();
  common.add_device(*replay_app);

  CLI::App* bisect_app = app.add_subcommand("bisect", "the first step, module and tensor in which two runs differ");
  bisect_app->add_option("runs", runs, "two run folders")->required()->expected(2);
  common.add_device(*bisect_app);

  std::vector<std::string> names;
  CLI::App* zoo_app = app.add_subcommand("zoo", "mechanisms, their claims and options");
  zoo_app->add_option("names", names, "mechanisms; none: all");
  common.add_json(*zoo_app);

  bool all = false;
  CLI::App* check_app = app.add_subcommand("check", "gradients, double gradients and claims, proved now");
  CLI::Option* check_names = check_app->add_option("names", names, "mechanisms and ops; none: all mechanisms");
  check_app->add_flag("--all", all, "every op and every mechanism")->excludes(check_names);
  common.add_seed(*check_app, "of the inputs (1)");
  common.add_json(*check_app);

  std::filesystem::path described;
  std::vector<std::string> changes;
  CLI::App* summary_app = app.add_subcommand("summary", "layers, parameters, operations and memory of an experiment");
  summary_app->add_option("experiment", described, "TOML file")->required();
  summary_app->add_option("--set", changes, "section.key=value, over what the file says")->allow_extra_args(false);
  common.add_types(*summary_app);
  common.add_json(*summary_app);

  std::string topic;
  CLI::App* config_app = app.add_subcommand("config", "what an experiment may say: every key; and what one says, resolved");
  config_app->add_option("topic", topic, "section, or TOML file; none: all sections");
  config_app->add_option("--set", changes, "section.key=value, over what the file says")->allow_extra_args(false);

  CLI::App* data_app = app.add_subcommand("data", "data sets");
  data_app->require_subcommand(1);
  CLI::App* list_app = data_app->add_subcommand("list", "what is known and what is there");
  CLI::App* verify_app = data_app->add_subcommand("verify", "compare files with their published counts and digests");

  std::string shell;
  CLI::App* completion_app = app.add_subcommand("completion", "a script that makes a shell complete commands and options");
  completion_app->add_option("shell", shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));

  for (CLI::App* command : app.get_subcommands({}))
    for (CLI::Option* option : command->get_options())
      if (option->get_type_name().starts_with("TEXT") && option->get_name() != "--prompt")
        option->check([](const std::string& word) { return std::string(word.empty() ? "must not be empty" : ""); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {   // --help, --version
      std::ostringstream shown;
      app.exit(error, shown, shown);
      std::fputs(shown.str().c_str(), stdout);
      return 0;
    }
    const std::vector<std::string> unknown = app.remaining(true);
    const std::string hint = unknown.empty() ? "" : meant(unknown.front(), words_after(app));
    throw Error("command line",
                unknown.empty() ? error.what() : text("there is no command or option '", unknown.front(), "' here"),
                hint.empty() ? "tapir --help and tapir COMMAND --help list what there is" : hint);
  }
  require(common.threads <= 1 || std::max(compare.jobs, trial.jobs) == 1, "--threads",
          [] { return "with --jobs above 1 each run has one thread"; }, "leave out one of them");
  if (common.threads) set_threads(static_cast<int>(common.threads));
  if (*train_app) {
    require(!train.experiment.empty() || !train.resume.empty(), "train",
            [] { return "needs an experiment file or --resume RUN"; });
    common.apply(train.assignments);
    return run_train(train);
  }
  if (*compare_app) {
    common.apply(compare.assignments);
    compare.json = common.json;
    return run_compare(compare);
  }
  if (*trial_app) {
    common.apply(trial.assignments);
    return run_trial(trial);
  }
  if (*dossier_app) return run_dossier(dossier);
  if (*report_app) return run_report(runs, page, common.device);
  if (*eval_app) {
    eval.device = common.device;
    eval.json = common.json;
    return run_eval(eval);
  }
  if (*generate_app) {
    if (common.seed) generate.seed = static_cast<uint64_t>(*common.seed);
    generate.device = common.device;
    return run_generate(generate);
  }
  if (*predict_app) return run_predict(trained, pictures, top, common.device, common.json);
  if (*replay_app) {
    replay.device = common.device;
    return run_replay(replay);
  }
  if (*bisect_app) return run_bisect(runs[0], runs[1], common.device);
  if (*zoo_app) return run_zoo(names, common.json);
  if (*check_app) return run_check(names, all, static_cast<uint64_t>(common.seed.value_or(1)), common.json);
  if (*summary_app) {
    common.apply(changes);
    return run_summary(described, changes, common.json);
  }
  if (*completion_app) {
    std::fputs(completion_script(app, shell).c_str(), stdout);
    return 0;
  }
  if (*config_app) return run_config(topic, changes);
  return *list_app ? run_data_list() : *verify_app ? run_data_verify() : 1;
}

std::string message_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const std::length_error*>(&error))
    return "memory: there is none left for text, ids and batches; hint: use less text or a smaller batch";
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return text(file->path1().string(), ": ", file->code().message());
  if (const auto* output = dynamic_cast<const std::system_error*>(&error))   // of fmt::print
    return text("standard output: ", output->code().message());
  return error.what();
}

}  // namespace

int program_main(int argc, char** argv) {
  claim_streams();
  std::signal(SIGXFSZ, SIG_IGN);   // a file that reaches its size limit is an error of write(2), not the end of the process
  try {
    const int status = run(argc, argv);
    flush_output();
    return status;
  } catch (const std::exception& error) {
    std::string line = message_of(error);
    std::replace(line.begin(), line.end(), '\n', ' ');   // of a name or a value that the user gave
    note("tapir: " + line);
    return 1;
  }
}

}  // namespace tapir
