// Mutants of derivatives and of mechanisms: every operator, constant, call and result, changed in one place at a time.
//
// All mutants of a source live in one copy of it, and the active one is chosen at run time (mutant.h):
//   a + b   becomes   (mutant(7) ? (a - b) : mutant(8) ? (a) : mutant(9) ? (b) : (a + b))
//
//   operators    + ↔ −, * ↔ /, % → /, && ↔ ||, a comparison negated and moved by its edge, unary − and ! dropped
//   operands     a term or factor dropped
//   calls        add ↔ sub, mul ↔ div, maximum ↔ minimum, sin ↔ cos; a function replaced by each of its tensors
//   conditions   without a comparison: negated
//   constants    n → n + 1, and 1.0001 times a fraction
//   results      returned or assigned: 1.0001 times; += ↔ −=, *= → /=, or not assigned at all
#pragma once
#include <map>
#include <string>
#include <vector>

#include "tests/mutation/source.h"

namespace tapir::mutation {

struct Mutant {
  std::string file, function, original, mutated;
  std::string key() const { return file + ": " + function + ": " + original + " → " + mutated; }
};

// Names of functions, each with the number of tensors that its arguments begin with.
using TensorFunctions = std::map<std::string, int>;
TensorFunctions tensor_functions(const Source& header);   // the declarations `Tensor name(const Tensor& …`

// The copy of a source with the mutants of the functions chosen, which are appended to `mutants`: their place there is their number. Equal keys get
// #2, #3 … Throws std::runtime_error with file and line where a function cannot be read.
std::string mutate(const Source& source, const std::vector<Function>& chosen, const TensorFunctions& functions,
                   std::vector<Mutant>& mutants);

}  // namespace tapir::mutation
