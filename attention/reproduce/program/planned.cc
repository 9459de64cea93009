#include "attention/reproduce/program/planned.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <thread>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/folder_kind.h"
#include "attention/reproduce/program/record.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/streams.h"
#include "nn/files/file_calls.h"
#include "nn/train/finite.h"
#include "nn/train/progress.h"
#include "nn/train/signals.h"
#include "tensor/threads.h"

namespace tapir {
namespace {

constexpr const char* elsewhere = "give another folder with --out";

// Whether its logs alone are there, as a dossier keeps them, and say that it has ended.
bool ended_by_its_logs(PlannedRun& run) {
  if (kind_of(run.folder) != FolderKind::logs || !read_record(run.folder).ended()) return false;
  require_same_experiment(run, {}, elsewhere);
  return true;
}

bool is_finished(PlannedRun& run) {
  return has_begun(run) && std::filesystem::exists(run.folder / "model.safetensors");
}

// Data of finished runs as they are now, read once for runs that share them.
class DataNow {
 public:
  void require_kept_by(PlannedRun& run) {
    TaskOptions& task = run.experiment.task;
    const std::string shared = text(section_of(task), task.data ? text(section_of(*task.data)) : "", run.experiment.run.initial);
    if (!known_.contains(shared))
      known_[shared] = start_digests(*task_row(task.name).make(run.experiment, run.folder), run.experiment, all_parts);
    require_kept(run.folder, known_[shared], "runs that are compared have the same data; give another folder with --out");
  }

 private:
  std::map<std::string, Task::Digests> known_;
};

// Returns the signal that stopped it, 0 if none did.
int train_one(PlannedRun& run, const std::string& trial) {
  const bool begun = has_begun(run);
  try {
    return train_run(run.experiment, run.folder, begun, 0, std::numeric_limits<double>::infinity(), trial).report.signal;
  } catch (const NotFinite&) {
    if (kind_of(run.folder) != FolderKind::run) throw;
    return 0;   // its log says so
  }
}

// fork(2), but signals to stop end the child until its training takes charge of them: those of the parent would wait for its loop.
pid_t fork_that_stops() {
  sigset_t stops, before;
  sigemptyset(&stops);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&stops, number);
  sigprocmask(SIG_BLOCK, &stops, &before);
  const pid_t child = fork();
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction own{};
    if (child == 0 && sigaction(number, nullptr, &own) == 0 && own.sa_handler != SIG_IGN) signal(number, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return child;
}

// In a process of its own. Returns its number.
pid_t start(PlannedRun& run, const std::filesystem::path& log, const std::string& trial) {
  flush_output();
  const Descriptor out(log, O_WRONLY | O_CREAT | O_APPEND);
  const pid_t child = fork_that_stops();
  require(child >= 0, run.folder.string(), [] { return "no process can be made for it"; }, "use fewer --jobs");
  if (child > 0) return child;
  dup2(out.get(), STDERR_FILENO);
  int status = 1;
  try {
    set_threads(1);
    if (const int stopped_by = train_one(run, trial)) status = 128 + stopped_by;
    else status = 0;
  } catch (const std::exception& error) {
    note(text("tapir: ", run.folder.string(), ": ", error.what()));
  }
  _exit(status);   // what the parent has open is the parent's to close
}

int train_side_by_side(std::vector<PlannedRun*> waiting, int64_t jobs, const std::filesystem::path& log,
                       const std::string& trial) {
  struct Running {
    PlannedRun* run;
    double since;
  };
  const StopSignals signals;
  std::map<pid_t, Running> running;
  std::vector<std::string> failed;
  std::reverse(waiting.begin(), waiting.end());
  bool told = false;
  int stopped_by = 0;
  while (!running.empty() || (!waiting.empty() && !stopped_by)) {
    while (static_cast<int64_t>(running.size()) < jobs && !waiting.empty() && !stopped_by) {
      PlannedRun* const next = waiting.back();
      waiting.pop_back();
      running[start(*next, log, trial)] = {next, steady_seconds()};
    }
    stopped_by = std::max(stopped_by, signals.stop_requested());
    if (stopped_by && !told)
      for (const auto& one : running) kill(one.first, SIGTERM);
    told = stopped_by;
    int status = 0;
    const auto ended = running.find(waitpid(-1, &status, WNOHANG));   // a signal that comes just before would not end a wait
    if (ended == running.end()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    const std::string name = ended->second.run->folder.string();
    if (status == 0) note(fmt::format("{}: done in {:.0f} s", name, steady_seconds() - ended->second.since));
    else if (!stopped_by) failed.push_back(name);
    running.erase(ended);
  }
  require(failed.empty(), failed.empty() ? "" : failed.front(), [&] { return text("has failed; ", log.string(), " says why"); });
  return stopped_by;
}

}  // namespace

void require_same_experiment(PlannedRun& run, std::set<std::string> free, const std::string& hint) {
  Experiment own = read_run(run.folder);
  free.insert({"run.name", "run.device"});
  const std::string changed = changed_settings(own, run.experiment, free);
  require(changed.empty(), run.folder.string(), [&] { return "belongs to another experiment: " + changed; }, hint);
}

bool has_begun(PlannedRun& run) {
  if (ended_by_its_logs(run)) return false;
  const bool begun = kind_of(run.folder) == FolderKind::run;
  begun ? require_same_experiment(run, {}, elsewhere) : require_place_for_run(run.folder);
  return begun;
}

int train_all(std::vector<PlannedRun>& runs, int64_t jobs, const std::filesystem::path& log, const std::string& trial) {
  std::vector<PlannedRun*> waiting;
  DataNow data;
  for (PlannedRun& run : runs) {
    if (ended_by_its_logs(run)) {
      note(run.folder.string() + ": ended before, as its logs say");
      continue;
    }
    if (!is_finished(run)) {
      waiting.push_back(&run);
      continue;
    }
    data.require_kept_by(run);
    note(run.folder.string() + ": finished before");
  }
  if (jobs > 1) {
    for (const PlannedRun* run : waiting)
      require(run->experiment.device() == Device::cpu, "--jobs", [] { return "runs on a GPU are trained one after the other"; });
    return train_side_by_side(std::move(waiting), jobs, log, trial);
  }
  for (PlannedRun* run : waiting)
    if (const int stopped_by = train_one(*run, trial)) return stopped_by;
  return 0;
}

}  // namespace tapir
