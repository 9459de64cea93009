// Call: what a forward pass is told besides its input.
#pragma once
#include <functional>
#include <string>

#include "nn/effects.h"
#include "tensor/mask.h"
#include "tensor/philox.h"

namespace tapir::nn {

struct Call {
  bool training = false;      // dropout is on
  uint64_t seed = 0;          // of the run; with `step` and the module path it fixes every random number
  uint32_t step = 0;
  Mask mask;                  // of self-attention
  Tensor places{}, context_places{};   // coordinates of queries (B,T,d) and keys (B,S,d), for mixers made for coordinates

  // Receives attention weights (B,H,T,S) and other inner values by module path and name; empty: nobody listens, and what is
  // only computed for the recorder is not computed.
  std::function<void(const std::string& path, const std::string& name, const Tensor& value)> recorder;
  std::string heard{};        // the only name that the recorder wants; empty: all

  // Of this pass. Training must have them where a module adds a loss or reads or writes a buffer (else Error).
  Effects* effects = nullptr;

  // The random stream of the module that runs now.
  RandomKey random() const { return {seed, step, site_of(Scope::path())}; }
  bool records(const std::string& name) const { return recorder && (heard.empty() || heard == name); }
  void record(const std::string& name, const Tensor& value) const {
    if (records(name)) recorder(Scope::path(), name, value.detach());
  }

  // A loss of the module that runs now (nn/effects.h). Evaluation passes it over.
  void add_loss(const std::string& name, const Tensor& value, double weight) const {
    if (training) own_effects(name).add_loss({Scope::path() + (Scope::path().empty() ? "" : ".") + name, value, weight});
  }

  // A buffer of the module that runs now. Evaluation reads what the last step left, and writes nothing.
  Tensor read(const Buffer& buffer) const { return training ? own_effects(buffer.name).read(buffer) : buffer.value; }
  void write(Buffer& buffer, const Tensor& value) const {
    if (training) own_effects(buffer.name).write(buffer, value);
  }

 private:
  Effects& own_effects(const std::string& name) const {
    require(
        effects, Scope::path().empty() ? "call" : Scope::path(),
        [&] { return text("'", name, "' has no place: the call is for training and has no effects"); },
        "give the call an nn::Effects");
    return *effects;
  }
};

}  // namespace tapir::nn
