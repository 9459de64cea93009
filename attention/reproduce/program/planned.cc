#include "attention/reproduce/program/planned.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <optional>
#include <thread>
#include <utility>

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

// Data of runs that have ended as they are now, read once for runs that share them.
class DataNow {
 public:
  void require_kept_by(PlannedRun& run) {
    TaskOptions& task = run.experiment.task;
    const std::string shared = text(section_of(task), task.data ? text(section_of(*task.data)) : "", run.experiment.run.initial);
    const bool whole = kind_of(run.folder) == FolderKind::run;   // else there is nothing that the task has saved
    const std::filesystem::path saved = whole ? run.folder : "";
    if (!known_.contains(shared))
      known_[shared] = start_digests(*task_row(task.name).make(run.experiment, saved), run.experiment, all_parts);
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

// fork(2). The child has a process group of its own: a terminal signals all of a group, so its parent's request to stop would
// be the second one, at which a training ends without saving. It is told to stop when its parent dies. Signals to stop end it
// until its training takes charge of them: those of the parent would wait for its loop.
pid_t fork_that_stops() {
  sigset_t stops, before;
  sigemptyset(&stops);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&stops, number);
  sigprocmask(SIG_BLOCK, &stops, &before);
  const pid_t parent = getpid(), child = fork();
  if (child > 0) setpgid(child, child);   // both do: nobody knows who comes first
  if (child == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(128 + SIGTERM);   // it died before that call
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction own{};
      if (sigaction(number, nullptr, &own) == 0 && own.sa_handler != SIG_IGN) signal(number, SIG_DFL);
    }
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return child;
}

// Trainings under way, each in a process of its own. Those that are left when this goes, since something was thrown, save and
// end before it has gone.
class Trainings {
 public:
  Trainings(FolderLock& lock, const std::filesystem::path& log, const std::string& trial)
      : lock_(lock), log_(log), trial_(trial) {}
  ~Trainings() {
    stop();
    for (const auto& one : running_) waitpid(one.first, nullptr, 0);
  }
  Trainings(const Trainings&) = delete;
  Trainings& operator=(const Trainings&) = delete;

  int64_t count() const { return static_cast<int64_t>(running_.size()); }

  void start(PlannedRun& run) {
    flush_output();
    const Descriptor out(log_, O_WRONLY | O_CREAT | O_APPEND);
    const pid_t child = fork_that_stops();
    require(child >= 0, run.folder.string(), [] { return "no process can be made for it"; }, "use fewer --jobs");
    if (child == 0) train_here(run, out.get());
    running_[child] = {&run, steady_seconds()};
  }

  void stop() {   // once: a second request would end them without saving
    if (!std::exchange(told_, true))
      for (const auto& one : running_) kill(one.first, SIGTERM);
  }

  struct Ended {
    std::string name;
    bool well;
    double seconds;
  };
  std::optional<Ended> next_that_ended() {   // none has where this returns none
    int status = 0;
    const auto ended = running_.find(waitpid(-1, &status, WNOHANG));
    if (ended == running_.end()) return {};
    const Running one = ended->second;
    running_.erase(ended);
    return Ended{one.run->folder.string(), status == 0, steady_seconds() - one.since};
  }

 private:
  struct Running {
    PlannedRun* run;
    double since;
  };

  [[noreturn]] void train_here(PlannedRun& run, int out) {
    lock_.leave_to_parent();
    dup2(out, STDERR_FILENO);
    int status = 1;
    try {
      set_threads(1);
      if (const int stopped_by = train_one(run, trial_)) status = 128 + stopped_by;
      else status = 0;
    } catch (const std::exception& error) {
      note(text("tapir: ", run.folder.string(), ": ", error.what()));
    }
    _exit(status);   // what the parent has open is the parent's to close
  }

  FolderLock& lock_;
  const std::filesystem::path& log_;
  const std::string& trial_;
  std::map<pid_t, Running> running_;
  bool told_ = false;
};

int train_side_by_side(std::vector<PlannedRun*> waiting, int64_t jobs, FolderLock& lock, const std::filesystem::path& log,
                       const std::string& trial) {
  const StopSignals signals;
  Trainings running(lock, log, trial);
  std::vector<std::string> failed;
  std::reverse(waiting.begin(), waiting.end());
  int stopped_by = 0;
  while (running.count() > 0 || (!waiting.empty() && !stopped_by)) {
    while (running.count() < jobs && !waiting.empty() && !stopped_by) {
      running.start(*waiting.back());
      waiting.pop_back();
    }
    stopped_by = std::max(stopped_by, signals.stop_requested());
    if (stopped_by) running.stop();
    const auto ended = running.next_that_ended();   // a signal that comes just before would not end a wait
    if (!ended) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    else if (ended->well) note(fmt::format("{}: done in {:.0f} s", ended->name, ended->seconds));
    else if (!stopped_by) failed.push_back(ended->name);
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

int threads_of_a_run(int64_t jobs) { return jobs > 1 ? 1 : threads(); }

int train_all(std::vector<PlannedRun>& runs, int64_t jobs, FolderLock& lock, const std::filesystem::path& log,
              const std::string& trial) {
  std::vector<PlannedRun*> waiting;
  DataNow data;
  for (PlannedRun& run : runs) {
    if (ended_by_its_logs(run)) {
      data.require_kept_by(run);
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
    return train_side_by_side(std::move(waiting), jobs, lock, log, trial);
  }
  for (PlannedRun* run : waiting)
    if (const int stopped_by = train_one(*run, trial)) return stopped_by;
  return 0;
}

}  // namespace tapir
