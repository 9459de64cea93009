#include "nn/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "autograd/anomaly.h"
#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "nn/files/folder_lock.h"
#include "nn/train/finite.h"
#include "nn/train/progress.h"
#include "nn/train/signals.h"
#include "nn/train/training.h"
#include "nn/train/weights.h"
#include "tensor/arena.h"

namespace tapir {
namespace {

constexpr size_t most_unseen = 100;   // steps that go by before the loop looks at them: a run that diverged ends soon

std::string exact(double value) {   // hexadecimal: every bit comes back
  char digits[40];
  std::snprintf(digits, sizeof digits, "%a", value);
  return digits;
}

class Run {
 public:
  Run(TrainTask& task, const TrainOptions& options, const nn::Schedule& schedule,
      const nn::OptimiserOptions& optimiser, uint64_t seed, const RunPlace& place)
      : task_(task),
        options_(options),
        schedule_(schedule),
        place_(place),
        training_(task, options, schedule, optimiser, seed),
        checkpoints_(place.folder / "checkpoints"),
        progress_(place.out, place.terminal, options.steps, task.unit) {
    task.model.each_parameter([&](const std::string&, nn::Parameter& parameter) { device_ = parameter.value.device(); });
  }

  TrainReport run() {
    const FolderLock lock(place_.folder);
    const std::filesystem::path log = place_.folder / "metrics.jsonl", cost_log = place_.folder / "costs.jsonl",
                                weights = place_.folder / "model.safetensors";
    if (place_.resume) restore();
    if (place_.resume && !at_end()) std::filesystem::remove(weights);   // of fewer steps
    if (place_.begin) place_.begin(report_.steps);
    const int64_t logged = rewind_metrics(log, report_.steps);
    if (place_.resume && logged < report_.steps - report_.steps % options_.log_every)
      place_.out << log.string() << ": ends at step " << logged << ", before the checkpoint of step " << report_.steps
                 << ": what was in between is lost\n";
    rewind_metrics(cost_log, report_.steps);
    MetricsLog metrics(log), costs(cost_log);
    const StopSignals signals;
    if (place_.resume && planned_ != options_.steps)
      metrics.append({report_.steps, {{steps_note, text(options_.steps, " instead of ", planned_)}}});
    if (!place_.resume) save(metrics);   // whatever happens from now on, the run can go on
    try {
      go_on(metrics, costs, signals);
    } catch (const NotFinite& error) {
      metrics.append({report_.steps, {{diverged_note, error.what()}}});
      throw;
    }
    if (at_end()) {
      training_.take_averages();
      save_weights(weights, task_.model);
    }
    return report_;
  }

 private:
  void go_on(MetricsLog& metrics, MetricsLog& costs, const StopSignals& signals) {
    for (bool stops = ended(); !stops;) {
      step(metrics, costs);
      report_.signal = signals.stop_requested();
      improved_ = (report_.steps == options_.steps || due(options_.evaluate_every)) && evaluate(metrics);
      stops = ended() || report_.signal || report_.seconds >= 60 * place_.minutes;
      if (stops || improved_ || due(options_.save_every)) save(metrics);
    }
  }

  bool at_end() const { return report_.steps >= options_.steps || report_.solved; }
  bool ended() const {
    return at_end() || (place_.stop_after > 0 && report_.steps >= place_.stop_after);
  }
  bool due(int64_t every) const { return every && report_.steps % every == 0; }

  void step(MetricsLog& metrics, MetricsLog& costs) {
    const double start = steady_seconds();
    unseen_.push_back(training_.compute());
    ++report_.steps;
    report_.counted += unseen_.back().count;
    const bool logs = due(options_.log_every) || report_.steps == 1 || report_.steps == options_.steps;
    if (logs || unseen_.size() == most_unseen || device_ == Device::cpu) look();   // the CPU has nothing to wait for
    training_.apply();
    report_.seconds += steady_seconds() - start;
    if (!logs) return;
    metrics.append(seen_);
    const double seconds = (report_.seconds - logged_seconds_) / static_cast<double>(report_.steps - logged_steps_);
    costs.append({report_.steps, {{"seconds", seconds}, {"peak_bytes", Arena::of(device_).statistics().peak}}});
    logged_seconds_ = report_.seconds;
    logged_steps_ = report_.steps;
  }

  // Fetches the numbers of the steps since the last look, all at once: the only place where the loop waits for the device.
  // Throws Error for the first that is not finite, so nothing that comes after it is written.
  void look() {
    const std::vector<MetricsLine> lines = lines_of(unseen_);
    for (size_t k = 0; k < lines.size(); ++k) {
      seen_ = lines[k];
      const StepNumbers& one = unseen_[k];
      report_.loss = seen_.number("loss");
      require_finite("train", text("the loss of step ", one.step), report_.loss, hint());
      for (const std::string& name : one.added)
        require_finite("train", text("the loss ", name, " of step ", one.step), seen_.number(name), hint());
      require_finite("train", text("the norm of the gradient of step ", one.step), seen_.number("gradient_norm"), hint());
      if (saved_ < one.step) good_ = saved_;
      progress_.update(one.step, report_.loss, one.count);
    }
    unseen_.clear();
  }

  std::string hint() const {
    if (good_ < 0) return diverged_hint;
    return text(diverged_hint, "; the checkpoint of step ", good_, " is kept, and a new run may start from its weights");
  }

  // Whether the result is the best so far.
  bool evaluate(MetricsLog& metrics) {
    look();
    report_.validation = results();
    MetricsLine line{report_.steps, {}};
    std::string shown = text("step ", report_.steps);
    for (const auto& [name, value] : report_.validation) {
      require_finite("train", text(name, " of step ", report_.steps), value, hint());
      line.values.emplace_back(name, value);
      shown += text("  ", name, ' ', value);
    }
    metrics.append(line);
    progress_.message(shown);
    see_whether_solved(metrics);
    const double loss = report_.validation[0].second;
    const bool improved = loss < best_;
    best_ = std::min(best_, loss);
    return improved;
  }

  void see_whether_solved(MetricsLog& metrics) {
    const auto& [metric, higher] = task_.objective;
    if (options_.solved == 0) return;
    for (const auto& [name, value] : report_.validation) {
      if (name != metric || (higher ? value < options_.solved : value > options_.solved)) continue;
      const std::string words = text(name, " is ", value, higher ? ", at least " : ", at most ", options_.solved);
      report_.solved = report_.steps;
      metrics.append({report_.steps, {{solved_note, words}}});
      progress_.message(text("solved at step ", report_.steps, ": ", words));
    }
  }

  Metrics results() {
    try {
      return training_.evaluate();
    } catch (const NotFinite& error) {
      throw NotFinite("train", text("step ", report_.steps, ": ", error.what()), hint());
    }
  }

  void save(MetricsLog& metrics) {
    look();
    metrics.save();
    Checkpoint checkpoint = training_.state();
    checkpoint.state["best_validation_loss"] = exact(best_);
    checkpoint.state["steps"] = text(options_.steps);
    if (report_.solved) checkpoint.state[solved_note] = text(report_.solved);
    for (const NamedTensor& one : checkpoint.tensors)
      require_finite("train", text("'", one.name, "' after step ", report_.steps), one.tensor, hint());
    checkpoints_.save(checkpoint, improved_);
    saved_ = checkpoint.step;
  }

  void restore() {
    std::vector<std::string> notes;
    const std::optional<Checkpoint> checkpoint = checkpoints_.load_latest(notes);
    for (const std::string& note : notes) progress_.message(note);
    require(checkpoint.has_value(), "resume", [&] { return text(place_.folder.string(), " has no checkpoint"); },
            "remove the folder and start without --resume");
    training_.restore(*checkpoint);
    planned_ = std::strtoll(state_entry(*checkpoint, "steps").c_str(), nullptr, 10);
    if (checkpoint->state.contains(solved_note)) report_.solved = checkpoint->step;
    require(!report_.solved || planned_ == options_.steps, "resume",
            [&] { return text("the run was solved at step ", report_.solved, ", and ends there with any number of steps"); },
            "begin a new run with train.solved = 0");
    require_same_rates(checkpoint->step);
    best_ = std::strtod(state_entry(*checkpoint, "best_validation_loss").c_str(), nullptr);
    report_.steps = logged_steps_ = saved_ = checkpoint->step;
    progress_.message(text("resumed after step ", checkpoint->step, report_.solved ? ", at which it was solved" : ""));
  }

  // A run may be given another number of steps as long as those that are done would have been the same.
  void require_same_rates(int64_t done) const {
    require(options_.steps >= done, "resume", [&] { return text(done, " steps are done, more than ", options_.steps); });
    for (int64_t k = 0; k < done && planned_ != options_.steps; ++k)
      require(schedule_.at(k, planned_) == schedule_.at(k, options_.steps), "resume", [&] {
        return text("in a run of ", options_.steps, " steps the rate of step ", k + 1, " would have been ",
                    schedule_.at(k, options_.steps), ", not ", schedule_.at(k, planned_), ": the schedule '", schedule_.shape,
                    "' falls towards the end of the run");
      }, text("go on with the ", planned_, " steps that it has, or begin a new run"));
  }

  TrainTask& task_;
  const TrainOptions& options_;
  const nn::Schedule& schedule_;
  const RunPlace& place_;
  Device device_ = Device::cpu;   // of the model
  Training training_;
  CheckpointFolder checkpoints_;
  Progress progress_;
  TrainReport report_;
  std::vector<StepNumbers> unseen_;   // steps whose numbers nobody has looked at
  MetricsLine seen_;                  // the last step that was
  double logged_seconds_ = 0;    // report_.seconds and report_.steps at the last line of costs.jsonl
  int64_t logged_steps_ = 0;
  double best_ = std::numeric_limits<double>::infinity();
  bool improved_ = false;   // by the evaluation of this step
  int64_t planned_ = 0;     // steps of the run, as its checkpoint has it
  int64_t saved_ = 0;       // step of the newest checkpoint
  int64_t good_ = -1;       // of the newest one from which the next step was finite; one of the two that are kept
};

}  // namespace

int64_t solved_step(const std::vector<MetricsLine>& log) {
  for (const MetricsLine& line : log)
    for (const auto& value : line.values)
      if (value.first == solved_note && std::holds_alternative<std::string>(value.second)) return line.step;
  return 0;
}

std::vector<NamedTensor> evaluated_tensors(const Checkpoint& checkpoint) {
  std::vector<NamedTensor> tensors = tensors_under(checkpoint, "model/");
  for (const NamedTensor& average : tensors_under(checkpoint, "ema/"))
    for (NamedTensor& one : tensors)
      if (one.name == average.name) one.tensor = average.tensor;
  return tensors;
}

StepLoss accumulate_gradients(TrainTask& task, nn::Optimiser& optimiser, int64_t step, int64_t parts, uint64_t seed) {
  optimiser.clear_gradients();
  StepLoss total;
  int64_t of = 0;
  for (int64_t part = 0; part < parts; ++part) {
    const auto draw = static_cast<uint32_t>(step * parts + part);   // parts have random numbers of their own
    nn::Effects effects;
    const nn::Call call{.training = true, .seed = seed, .step = draw, .mask = {}, .recorder = {}, .effects = &effects};
    const LossSum loss = task.loss(step, part, parts, call);
    require(loss.sum.defined() && loss.sum.elements() == 1, "train", [&] {
      return text("the task's loss of step ", step, " must be a sum, of one element, got ",
                  loss.sum.defined() ? text(loss.sum.shape()) : "no value");
    });
    {
      const NoGrad guard;
      const Tensor sum = reshape(loss.sum.detach().to(DType::f64), {1});
      total.sum = total.sum.defined() ? add(total.sum, sum) : sum;
    }
    total.count += loss.count;
    const double share = 1 / static_cast<double>(parts);
    backward(effects.added_to(loss.sum, share * static_cast<double>(loss.of)));
    total.effects.accumulate(effects, share);
    of = loss.of;
  }
  require(of == total.count, "train", [&] {
    return text("the task says that the batch of step ", step, " counts ", of, " targets, its parts count ", total.count);
  });
  return total;
}

double apply_gradients(nn::Optimiser& optimiser, double rate, double clip, int64_t count) {
  const nn::Optimiser::Clip clipped = optimiser.clip(clip, count);
  const double norm = clipped.norm.item();
  require_finite("train", text("the norm of the gradient of step ", optimiser.steps() + 1), norm, diverged_hint);
  optimiser.step(rate, clipped.scale);
  return norm;
}

TrainReport train(TrainTask& task, const TrainOptions& options, const nn::Schedule& schedule,
                  const nn::OptimiserOptions& optimiser, uint64_t seed, const RunPlace& place) {
  return Run(task, options, schedule, optimiser, seed, place).run();
}

}  // namespace tapir
