// A task: data, a language model with a mechanism of the zoo, and a loss. What the commands know of the one they run.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attention/reproduce/program/experiment.h"
#include "datasets/text/batches.h"
#include "nn/train/trainer.h"

namespace tapir {

// The experiment's device becomes the default one, and its precision that of matrix products.
class Task {
 public:
  virtual ~Task() = default;

  // Refers to this object. The loss of a step is a function of the experiment, the step and the parameters.
  virtual TrainTask train_task() = 0;

  // Results on the part "valid" or "test", as names and numbers to print.
  using Results = std::vector<std::pair<std::string, std::string>>;
  virtual Results evaluate_part(const std::string& part) = 0;
  virtual std::string signature(const std::string& part) const = 0;   // what must be equal before results are compared

  virtual std::string summary() const = 0;                            // of the data, for the terminal
  virtual void save(const std::filesystem::path& folder) const = 0;   // what evaluation needs beside weights and experiment

  nn::LanguageModel& model() { return *model_; }
  void initialise(bool reads_initial);   // weights: drawn from the seed, or read from the experiment's file where it has one

 protected:
  explicit Task(Experiment& experiment) : experiment_(experiment) {}

  void make_model(int64_t vocabulary);   // without weights

  // Part `part` of `parts` of the batch; the loss is summed over counted targets.
  LossSum loss(const TokenBatch& batch, int64_t part, int64_t parts, const nn::Call& call) const;
  LossSum loss(const TokenBatch& batch) const { return loss(batch, 0, 1, {}); }

  Experiment& experiment_;

 private:
  std::unique_ptr<nn::LanguageModel> model_;
};

// The task that the experiment names, with initial weights. `trained`: the folder of a run, which has what that task saved;
// the file of initial weights is not read then, as the trained ones will replace them. Empty: a new run. `before` sees the task
// before it has weights.
std::unique_ptr<Task> make_task(Experiment& experiment, const std::filesystem::path& trained = {},
                                const std::function<void(Task&)>& before = {});

}  // namespace tapir
