// From a configuration to an experiment.
#pragma once
#include "attention/reproduce/program/config.h"
#include "attention/reproduce/program/experiment.h"

namespace tapir {

// Throws an Error for whatever read_section refuses, for a task, model or mechanism that does not exist, for a batch that does
// not divide into its parts, and for products in f64 that are to be rounded.
Experiment resolve(const toml::table& config);

}  // namespace tapir
