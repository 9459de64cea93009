// An experiment: everything that fixes a run. Read from a TOML file, written into the run folder as it was resolved.
#pragma once
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "attention/reproduce/tasks/model.h"
#include "attention/reproduce/tasks/task_row.h"
#include "nn/optim/optimiser.h"
#include "nn/optim/schedule.h"
#include "nn/train/trainer.h"
#include "tensor/precision.h"

namespace tapir {

struct RunOptions : nn::Options {   // [run]
  std::string name = "run";
  int64_t seed = 1;
  std::string dtype = "f32";
  std::string device = "cpu";
  std::string precision = "f32";
  std::string initial;

  void fields(nn::FieldVisitor& visit) override {
    visit("name", name, "of the run's folder", {});
    visit("seed", seed, "of initial weights, dropout and generated sequences",
          nn::between(0, std::numeric_limits<int64_t>::max()));
    visit("dtype", dtype, "element type of weights and activations", {"f32", "f64"});
    visit("device", device, "where the run computes", {"cpu", "cuda"});
    visit("precision", precision, "to which matrix products round their operands; of dtype f32 alone", {"f32", "tf32", "bf16"});
    visit("initial", initial, "safetensors file of initial weights, or a checkpoint; empty: drawn from the seed", {});
  }
};

struct TaskOptions : nn::Options {   // [task], beside the task's own keys
  std::string name = "language";          // of a TaskRow
  std::unique_ptr<nn::Options> own, data;   // of the task: its keys, and those of [data], null without

  void fields(nn::FieldVisitor& visit) override;
};

struct ModelOptions : nn::Options {   // [model], beside the model's own keys
  std::string name = "transformer";       // of a ModelRow
  std::unique_ptr<nn::Options> own;

  void fields(nn::FieldVisitor& visit) override;
};

struct AttentionOptions : nn::Options {   // [attention], beside the mechanism's own keys
  std::string mechanism = "dot_product";
  std::unique_ptr<nn::Options> own;       // of the mechanism

  void fields(nn::FieldVisitor& visit) override;
};

struct Experiment {
  RunOptions run;
  TaskOptions task;
  ModelOptions model;
  AttentionOptions attention;   // of models with mixers
  TrainOptions train;
  nn::Schedule schedule;
  nn::OptimiserOptions optimiser;

  DType dtype() const { return run.dtype == "f64" ? DType::f64 : DType::f32; }
  Device device() const { return run.device == "cuda" ? Device::cuda : Device::cpu; }
  Precision precision() const;
  const std::string& subject() const;   // what is on trial: the mechanism, or the model where it has none
  const char* subject_kind() const;     // "attention" or "model"
  std::string toml();       // resolved, every key with its value
  std::map<std::string, std::string> settings();   // the same, by section.key
  std::string identity();   // SHA-256 of what is learned from what: all of the above but run.name, run.device and train.steps
};

// Keys whose values differ, but for those that are free to: "run.seed is 2, was 1, train.batch is 8, was 4". A key that one of
// them lacks follows from a name that differs, and is left out.
std::string changed_settings(Experiment& was, Experiment& is, const std::set<std::string>& free);

// The experiment of a file and of assignments over it, named after the file where it gives no name. Throws what resolve()
// (resolve.h) throws, and an Error for what read_config and set_value (config.h) refuse.
Experiment read_experiment(const std::filesystem::path& file, const std::vector<std::string>& assignments);

}  // namespace tapir
