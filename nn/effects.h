// Effects: what a forward pass in training leaves beside its output. Named losses join the objective; new values of buffers
// wait here until the step is done, so that all parts of a batch read what the step before left.
//
//   nn::Effects effects;
//   const Tensor y = model.forward(x, {.training = true, .seed = seed, .step = step, .mask = {}, .effects = &effects});
//   backward(effects.added_to(loss_of(y)));
//   optimiser.step(rate);
//   effects.commit();
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "nn/module.h"

namespace tapir::nn {

struct Call;

// A loss that a module adds: weight · value joins the objective. value, one element, is a mean over the samples of the pass.
struct AuxiliaryLoss {
  std::string name;   // module path and name: "blocks.3.attention.balance"
  Tensor value;
  double weight;
};

class Effects {
 public:
  void add_loss(AuxiliaryLoss loss);                 // throws Error if the name is taken or the value is not one element
  void write(Buffer& buffer, const Tensor& value);   // a constant from now on; throws Error if shape, type or device differ
  Tensor read(const Buffer& buffer) const;           // what this pass wrote last, else what the buffer has

  const std::vector<AuxiliaryLoss>& losses() const { return losses_; }
  Tensor added_to(const Tensor& loss, double scale = 1) const;   // loss + scale Σ weight · value

  // Takes up the effects of a pass over this share of a batch: at the end values are means over the batch, and constants.
  // Throws Error if the passes do not leave the same.
  void accumulate(const Effects& pass, double share);

  void commit() const;   // the buffers get what was written

 private:
  friend Tensor recomputed(const std::function<Tensor(const Tensor&, const Call&)>& f, const Tensor& x, const Call& call);

  std::vector<AuxiliaryLoss> losses_;
  std::vector<std::pair<Buffer*, Tensor>> written_;
  bool accumulates_ = false;
};

// f(x, call) with recompute (autograd/recompute.h). Losses that f adds are outputs of the recomputed function; the second run
// reads of the buffers what the first one read, and what it writes is not taken twice.
Tensor recomputed(const std::function<Tensor(const Tensor& x, const Call& call)>& f, const Tensor& x, const Call& call);

}  // namespace tapir::nn
