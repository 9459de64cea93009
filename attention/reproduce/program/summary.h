// What a model is made of and what it will cost, known without training it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attention/reproduce/program/experiment.h"
#include "attention/reproduce/tasks/task.h"

namespace tapir {

struct ModelSummary {
  struct Row {                // a module that owns parameters or multiplies matrices
    std::string path;
    std::string shapes;       // of its own parameters: "weight [256,256], bias [256]"
    int64_t parameters = 0;   // scalars
    int64_t operations = 0;   // of one forward pass of a sample
  };
  std::vector<Row> rows;      // in the order of registration
  std::string unit;           // "token", "point"
  int64_t units = 0;          // of a sample: tokens of a sequence, …
  int64_t peak = 0;           // bytes: most that the arena would hold in a training step, weights and optimiser included;
                              // more than the machine has, perhaps

  Row total() const;          // path "total", no shapes
};

// Reads the task's data, then makes the model and takes a training step as a DryRun: allocations are those
// of a real step, so the peak is the real one. Operations: 2·m·n·k for a product of (m,k) and (k,n), and those of
// kernels that visit all pairs of tokens; no other loops are counted, and a mask saves nothing. Throws what the task throws.
ModelSummary summarise(Experiment& experiment);

// Takes the first step of a training as a dry run; afterwards the model has no weights, as before. Returns the step's
// operations, forward and backward. Throws OutOfMemory where there is too little.
int64_t rehearse(Task& task, const Experiment& experiment);

// The largest train.batch below the experiment's for which memory is enough, a multiple of train.accumulate; 0: there is none.
// Found by training steps as dry runs, within the limit of the device's arena and what the device has. Throws what the task's
// constructor throws.
int64_t fitting_batch(Experiment& experiment);

}  // namespace tapir
