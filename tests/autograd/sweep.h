// Which rows the sweep takes: every one, unless the mutation run (tests/mutation/) picks those that reach a mutant.
#pragma once
#include <functional>

#include "autograd/examples/example.h"

namespace tapir {

inline std::function<bool(const OpExamples& op, const Example& row)> sweep_takes;

}  // namespace tapir
