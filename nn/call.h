// Call: what a forward pass is told besides its input.
#pragma once
#include <functional>
#include <string>

#include "tensor/mask.h"
#include "tensor/philox.h"

namespace tapir::nn {

struct Call {
  bool training = false;      // dropout is on
  uint64_t seed = 0;          // of the run; with `step` and the module path it fixes every random number
  uint32_t step = 0;
  Mask mask;                  // of self-attention

  // Receives attention weights (B,H,T,S) and other inner values by module path and name; empty: nobody listens, and what is
  // only computed for the recorder is not computed.
  std::function<void(const std::string& path, const std::string& name, const Tensor& value)> recorder;

  // The random stream of the module that runs now.
  RandomKey random() const { return {seed, step, site_of(Scope::path())}; }
  void record(const std::string& name, const Tensor& value) const {
    if (recorder) recorder(Scope::path(), name, value.detach());
  }
};

}  // namespace tapir::nn
