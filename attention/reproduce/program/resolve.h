// From a configuration to an experiment, and what configurations may say.
#pragma once
#include <functional>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/experiment.h"
#include "attention/reproduce/program/keys.h"

namespace tapir {

// Throws an Error for whatever read_section refuses, for a task, model or mechanism that does not exist, for a batch that does
// not divide into its parts, and for products in f64 that are to be rounded.
Experiment resolve(const toml::table& config);

// Throws an Error, which names `where`, unless run.seed can have `seeds` values from `first` on.
void require_seeds(const std::string& where, int64_t first, int64_t seeds);

// The sections that the experiment has, in the order in which they are written.
void each_section(Experiment& experiment, const std::function<void(const std::string& name, nn::Options& options)>& visit);

struct Section {
  std::string name;
  std::string condition;   // "task.name = language": what the experiment must have chosen; "": it is always there
  std::vector<Key> keys;
};

// Every key of every section with its default: of the experiment that says nothing, then of all other tasks, models, mechanisms
// and optimisers, those that a program has added among them.
std::vector<Section> all_sections();

}  // namespace tapir
