// What of a training goes from step to step: weights and buffers, the optimiser, averaged weights. No files and no clock: those
// are the loop's (trainer.h), and whoever wants a step again, to look at it, takes this alone.
#pragma once
#include <memory>
#include <optional>

#include "nn/optim/ema.h"
#include "nn/train/metrics.h"
#include "nn/train/trainer.h"

namespace tapir {

inline constexpr const char* diverged_hint = "lower the learning rate or the clip norm";

// The numbers of a step, on the device: nobody has waited for them.
struct StepNumbers {
  int64_t step = 0, count = 0;      // from 1 on; counted targets
  double rate = 0;
  std::vector<Tensor> numbers;      // summed loss, norm, added losses: f64 of one element each
  std::vector<std::string> added;   // their names
};

// As they are logged: "loss", a mean over counted targets, "rate", "gradient_norm", then the losses that modules added. Fetched
// all at once.
std::vector<MetricsLine> lines_of(const std::vector<StepNumbers>& steps);

class Training {
 public:
  // From the weights that the model has. All must outlive this.
  Training(TrainTask& task, const TrainOptions& options, const nn::Schedule& schedule, const nn::OptimiserOptions& optimiser,
           uint64_t seed);

  int64_t steps() const { return steps_; }   // finished

  // A step in two halves, so that one can look at its numbers before the weights change. compute() leaves the gradients in
  // the parameters, summed over counted targets; under AnomalyMode it throws an Anomaly that names the step.
  StepNumbers compute();
  void apply();   // after compute()

  // The task's evaluation, of the averaged weights where there are some. Throws Error unless it gives validation_loss first, and
  // the objective's metric.
  Metrics evaluate();
  void take_averages();   // the model has the averaged weights from now on, where there are some

  // Tensors "model/…", "optimiser/…" and "ema/…", which go on to change, not copies; state "identity" and "seed".
  Checkpoint state() const;
  // Throws Error for the state of another experiment or another model.
  void restore(const Checkpoint& checkpoint);

 private:
  TrainTask& task_;
  const TrainOptions& options_;
  const nn::Schedule& schedule_;
  const uint64_t seed_;
  const std::unique_ptr<nn::Optimiser> optimiser_;
  std::optional<nn::Ema> ema_;
  int64_t steps_ = 0;
  struct Computed {
    double rate;
    Tensor scale;         // of the gradients
    nn::Effects effects;
  };
  std::optional<Computed> computed_;   // the half step
};

// An entry of a checkpoint's state. Throws Error, that it is lacking.
const std::string& state_entry(const Checkpoint& checkpoint, const std::string& key);

}  // namespace tapir
