// The training loop that all reproductions share: accumulate, clip, step, log, evaluate, save; and go on after a stop as if
// there had been none. Batch k and every random number are functions of the seed and k, so weights, optimiser state and the
// step are all there is to restore.
//
// Files of a run folder:
//   lock                 nn/files/folder_lock.h
//   metrics.jsonl        a line for each logged step; no clock times, so equal runs have equal logs. The last line of a run
//                        that diverged says so, where it was seen: {"step": 7, "diverged": "train: the loss of step 7 is nan;
//                        …"}, and that of one that was solved {"step": 20, "solved": "validation_accuracy is 0.97, at least
//                        0.95"}; where it was given another number of steps there is {"step": 30, "steps": "60 instead of 30"}
//   costs.jsonl          what they cost: "seconds" of a step, the mean since the line before, and "peak_bytes" of tensors
//                        so far
//   checkpoints/         nn/train/checkpoint.h; the first is that of step 0
//   model.safetensors    the weights at the end: the averaged ones where there are some
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "nn/call.h"
#include "nn/fields.h"
#include "nn/module.h"
#include "nn/optim/optimiser.h"
#include "nn/optim/schedule.h"
#include "nn/train/checkpoint.h"
#include "nn/train/metrics.h"

namespace tapir {

struct TrainOptions : nn::Options {
  int64_t steps = 1000;
  int64_t batch = 8;
  int64_t accumulate = 1;
  double clip = 1;
  double ema = 0;
  double solved = 0;
  int64_t log_every = 10;
  int64_t evaluate_every = 250;
  int64_t save_every = 250;

  void fields(nn::FieldVisitor& visit) override {
    visit("steps", steps, "optimiser steps of the run", nn::between(1, 1e12));
    visit("batch", batch, "samples of a step", nn::between(1, 1e9));
    visit("accumulate", accumulate, "parts of equal size that a batch is cut into, to save memory; the same step, unless the "
          "model reads the batch, as batch norm does: it sees a part",
          nn::between(1, 1e9));
    visit("clip", clip, "largest global norm of the gradient; 0: no limit", nn::at_least(0));
    visit("ema", ema, "decay of a moving average of the weights that is evaluated in their place; 0: none",
          nn::between(0, 0.9999999));
    visit("solved", solved, "result of the task's metric that ends the run when an evaluation is as good or better; 0: none",
          nn::at_least(0));
    visit("log_every", log_every, "steps between lines of metrics.jsonl", nn::between(1, 1e12));
    visit("evaluate_every", evaluate_every, "steps between evaluations on the validation part; 0: at the end alone",
          nn::between(0, 1e12));
    visit("save_every", save_every, "steps between checkpoints; 0: at the end alone", nn::between(0, 1e12));
  }
};

// Summed loss of the counted targets of a part of a batch, and how many there are in the part and in the whole batch.
struct LossSum {
  Tensor sum;
  int64_t count = 0, of = 0;
};

using Metrics = std::vector<std::pair<std::string, double>>;

// The validation result by which runs are compared, a name in what TrainTask::evaluate returns.
struct Objective {
  std::string metric = "validation_loss";
  bool higher_is_better = false;
};

// What a reproduction gives the loop.
struct TrainTask {
  nn::Module& model;                                                                           // initialised
  // Loss of part `part` of `parts` of the batch of a step: a pure function of the step and the parameters.
  std::function<LossSum(int64_t step, int64_t part, int64_t parts, const nn::Call& call)> loss;
  // Results on the validation part, first of all "validation_loss", which decides what is best. No gradients are recorded.
  std::function<Metrics(const nn::Call& call)> evaluate;
  std::string identity;  // of the experiment without its number of steps: a resumed run must have the same
  Objective objective{};
  // A forward pass of one held-out example, for the call's recorder. Returns the text of its tokens. May be empty.
  std::function<std::vector<std::string>(const nn::Call& call)> show{};
  // A forward pass of the first samples of the validation part, for the call's recorder. May be empty.
  std::function<void(const nn::Call& call)> first_samples{};
  std::string unit = "token";   // what is counted, in rates
};

struct TrainReport {
  int64_t steps = 0;          // finished, of the whole run
  int64_t solved = 0;         // step of the evaluation that ended it (TrainOptions::solved); 0: none
  int signal = 0;             // that stopped it, 0: it came to its end (or to where it was told to stop)
  double loss = 0;            // of the last step, a mean over counted targets
  Metrics validation;         // of the last evaluation
  double seconds = 0;         // in training steps, of this process
  int64_t counted = 0;        // targets in those steps
};

struct RunPlace {
  std::filesystem::path folder;
  bool resume = false;        // from its newest checkpoint
  bool terminal = false;      // progress is a line that is rewritten
  int64_t stop_after = 0;     // save and stop once this step is done, as a signal would; 0: never
  double minutes = std::numeric_limits<double>::infinity();   // the same with the step that ends after so many of training
  std::ostream& out;          // for progress
  // Called once the folder is locked and, to go on, the state is there again, before anything else is written. `steps`: done.
  std::function<void(int64_t steps)> begin{};
};

inline constexpr const char* diverged_note = "diverged";   // in metrics.jsonl
inline constexpr const char* solved_note = "solved";
inline constexpr const char* steps_note = "steps";

int64_t solved_step(const std::vector<MetricsLine>& log);   // of the run's solved_note, which is text; 0: there is none

// Runs `task` and writes the files above. A run that is solved (TrainOptions::solved) ends there as at its last step. Losses and
// norms of steps stay on the device until one is logged, evaluated or saved, so steps in between do not wait for it; none is
// written anywhere before every step up to it was seen to be finite.
// Throws Error when another process writes there, when a file cannot be written (the last checkpoint stays), when a checkpoint
// does not belong to the model or the experiment, when with another number of steps those that are done would have had other
// rates, when a solved run is given another number, and NotFinite (nn/train/finite.h), which names the last checkpoint after
// which a step was finite, when a loss, a gradient, a result of an evaluation, or a tensor that would be saved is not finite.
// Under AnomalyMode (autograd/anomaly.h) the error names step, op and module. At the end of the run the model has the weights
// of model.safetensors.
TrainReport train(TrainTask& task, const TrainOptions& options, const nn::Schedule& schedule,
                  const nn::OptimiserOptions& optimiser, uint64_t seed, const RunPlace& place);

// What a run's results were computed with: parameters and buffers of a checkpoint, averages where it has them.
std::vector<NamedTensor> evaluated_tensors(const Checkpoint& checkpoint);

// Loss and gradients of one batch, as the loop computes them: the gradients are left in the parameters, summed over counted
// targets (not yet divided by their number). The gradient of an added loss, a mean over samples, comes times that number.
// Public for tests and benchmarks.
struct StepLoss {
  Tensor sum;   // f64 of one element, on the model's device: nobody has waited for it
  int64_t count = 0;
  nn::Effects effects{};   // of the batch: to be committed after the step
};
StepLoss accumulate_gradients(TrainTask& task, nn::Optimiser& optimiser, int64_t step, int64_t parts, uint64_t seed);

// One optimiser step from gradients summed over `count` targets. Returns the norm of the mean gradient before clipping, for
// which it waits. Throws Error, with the weights untouched, if it is not finite.
double apply_gradients(nn::Optimiser& optimiser, double rate, double clip, int64_t count);

}  // namespace tapir
