// A task: data, a model that fits it, and a loss. What the commands know of the one they run.
#pragma once
#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attention/reproduce/program/experiment.h"
#include "attention/reproduce/tasks/confusion.h"
#include "attention/reproduce/tasks/model.h"
#include "nn/train/trainer.h"

namespace tapir {

// The experiment's device is the default one, and its precision that of matrix products, while this lives.
class ComputeAs {
 public:
  explicit ComputeAs(const Experiment& experiment);
  ~ComputeAs();
  ComputeAs(const ComputeAs&) = delete;
  ComputeAs& operator=(const ComputeAs&) = delete;

 private:
  const Device device_;
  const Precision precision_;
};

class Task {
 public:
  virtual ~Task() = default;

  // Refers to this object. The loss of a step is a function of the experiment, the step and the parameters.
  virtual TrainTask train_task() = 0;

  using Results = std::vector<std::pair<std::string, std::string>>;   // names and what to print
  struct Evaluation {
    Results results;
    Confusion confusion = {};   // of tasks with classes
  };
  virtual Evaluation evaluate_part(const std::string& part) = 0;      // "valid" or "test"
  // What must be equal before results on the part are compared, beside the task, the part and the unit: names and values.
  virtual Results comparable(const std::string& part) const = 0;
  // All that there is, where somebody may take what is evaluated for it: "120 images" of a folder that is cut into parts, "4358
  // tokens" of a text of which a limit left fewer; "": nobody may.
  virtual std::string all(const std::string& /*part*/) const { return ""; }
  virtual std::string drawn() const = 0;   // what of the data the seed decides: "order of windows"; "": nothing
  // A metric of the validation part in which more results compare, such as bits per byte across tokenizers, and all that must
  // be equal for it. A value "≈ 256" equals numbers that are within 5 %.
  struct Wider {
    Objective objective;
    Results conditions;
  };
  virtual std::optional<Wider> wider() const { return {}; }

  // One sample, whatever its values, and how many units it has: what costs are told of.
  virtual std::pair<Batch, int64_t> sample() const = 0;
  virtual std::string unit() const { return "token"; }

  virtual std::string summary() const = 0;                      // of the data, for the terminal
  virtual void save(const std::filesystem::path&) const {}      // what generation needs beside weights and experiment

  // What a report shows, from one forward pass, which the call's recorder hears: the first held-out images, the picture that was
  // learned, its fit and the error, or regions and those that were found. Tasks of other things have none.
  struct ShownImage {
    int64_t height = 0, width = 0;
    std::vector<uint8_t> pixels;                           // (height, width, 3)
    std::string label;
    std::vector<std::pair<std::string, double>> likeliest;   // classes and probabilities, the likeliest first; or none
  };
  virtual std::vector<ShownImage> show_images(int64_t most, const nn::Call& call);

  // SHA-256 by name: of what was saved, then of those parts ("train", "valid", "test") of the data that do not follow from the
  // experiment.
  using Digests = std::vector<std::pair<std::string, std::string>>;
  virtual Digests digests(const std::vector<std::string>& parts) const;

  nn::Module& model() { return *model_.net; }
  const nn::Module& model() const { return *model_.net; }
  Tensor forward(const Batch& batch, const nn::Call& call) const { return model_.forward(batch, call); }

  Results conditions(const std::string& part) const;   // comparable(), whole
  std::string seed_decides() const;                    // "initial weights, dropout, order of windows"

  // Weights, on the experiment's device: drawn from the seed, or read from the experiment's file where it has one and
  // `reads_initial` asks for it.
  void initialise(bool reads_initial);

 protected:
  explicit Task(Experiment& experiment) : experiment_(experiment) {}

  // Of so many samples inner values are logged: TrainTask::first_samples.
  int64_t logged_samples() const { return std::min<int64_t>(experiment_.train.batch, 8); }

  // Without weights. Throws Error for a model that does not take what there is, or give what is wanted.
  void make_model(const ModelShape& shape);

  Experiment& experiment_;

 private:
  Model model_;
};

// The task that the experiment names, with initial weights. `trained`: the folder of a run, which has what that task saved; the
// file of initial weights is not read then, as the trained ones will replace them. Empty: a new run. `before` sees the task
// before it has weights.
std::unique_ptr<Task> make_task(Experiment& experiment, const std::filesystem::path& trained = {},
                                const std::function<void(Task&)>& before = {});

}  // namespace tapir
