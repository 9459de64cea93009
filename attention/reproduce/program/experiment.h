// An experiment: everything that fixes a run. Read from a TOML file, written into the run folder as it was resolved.
#pragma once
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "attention/reproduce/program/config.h"
#include "attention/zoo.h"
#include "datasets/synthetic/sequences.h"
#include "datasets/text/corpus.h"
#include "nn/models/transformer.h"
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
    visit("initial", initial, "safetensors file of initial weights; empty: drawn from the seed", {});
  }
};

struct TaskOptions : nn::Options {   // [task]
  std::string name = "language";        // or one of sequence_tasks()
  SequenceSpec sequence;
  int64_t longer = 0;
  int64_t evaluated = 512;

  void fields(nn::FieldVisitor& visit) override;
};

struct DataOptions : nn::Options {   // [data]
  CorpusSpec spec;

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
  DataOptions data;   // of the task "language" alone
  nn::TransformerOptions model;
  AttentionOptions attention;
  TrainOptions train;
  nn::Schedule schedule;
  nn::OptimiserOptions optimiser;

  DType dtype() const { return run.dtype == "f64" ? DType::f64 : DType::f32; }
  Device device() const { return run.device == "cuda" ? Device::cuda : Device::cpu; }
  Precision precision() const;
  std::string toml();       // resolved, every key with its value
  std::string identity();   // SHA-256 of what is learned from what: all of the above but run.name and run.device
};

// Throws an Error for whatever read_section refuses, for a mechanism that does not exist, for a batch that does not divide
// into its parts, and for products in f64 that are to be rounded.
Experiment resolve(const toml::table& config);

// The experiment of a file and of assignments over it, named after the file where it gives no name. Throws what resolve()
// throws, and an Error for what read_config and set_value refuse.
Experiment read_experiment(const std::filesystem::path& file, const std::vector<std::string>& assignments);

}  // namespace tapir
