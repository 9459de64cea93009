// Optimisers, behind one interface, and the clipping of gradients by their global norm.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/fields.h"
#include "nn/module.h"

namespace tapir::nn {

class Optimiser {
 public:
  virtual ~Optimiser() = default;
  Optimiser(const Optimiser&) = delete;
  Optimiser& operator=(const Optimiser&) = delete;

  // One step with the gradients times `gradient_scale`, a number or f64 of one element where the parameters are. Parameters
  // without a gradient stay as they are. Throws Error unless rate ≥ 0 and both are finite (the tensor is not looked at).
  void step(double rate, const Tensor& gradient_scale);
  void step(double rate, double gradient_scale = 1);

  void clear_gradients();

  // Of gradients that are sums over `count` targets, both f64 of one element where the parameters are.
  struct Clip {
    Tensor norm;    // of the mean gradient: √Σ g² / count over all parameters, in double: right for every f32
    Tensor scale;   // for step(): min(1, limit / norm) / count; limit 0: none. NaN where the norm is not finite
  };                // Throws Error unless limit ≥ 0 and count ≥ 1.
  Clip clip(double limit, int64_t count) const;
  double gradient_norm() const;   // √Σ g²

  // State by name, for checkpoints: "PARAMETER.m" and so on (the tensors themselves, not copies), and the number of steps
  // taken.
  std::vector<std::pair<std::string, Tensor>> state();
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 protected:
  struct Slot {
    std::string name;
    ParameterKind kind;
    Parameter* parameter;
    std::vector<std::string> state_names;
    std::vector<Tensor> state{};   // of the value's shape, 0 at first
  };
  using StateNames = std::function<std::vector<std::string>(const Parameter&)>;

  // `name`: in errors. The model must outlive this. It may be initialised later, and again, for this holds its parameters, not
  // their values; but from the first step on their shape, type and device stay (else Error). Whatever asks for values throws
  // Error unless all have one, a dense leaf, of one element type on one device, none in another's memory.
  Optimiser(const char* name, Module& model, const StateNames& state_of);

  struct Update {
    const Slot& slot;
    Tensor value;
    Tensor g;   // dense
  };

  // θ and its state after one more step, in place, of one parameter or more; steps() counts it already.
  virtual void update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) = 0;

 private:
  void make_state();                                // unless it is there
  const Tensor& value_of(const Slot& slot) const;   // throws Error unless the state, where there is one, is of its kind
  std::vector<Update> updates() const;              // of the parameters that have a gradient
  Device device() const;                            // of the parameters

  const char* name_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

struct AdamWOptions : Options {
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double decay = 0.1;

  void fields(FieldVisitor& visit) override {
    visit("beta1", beta1, "decay of the mean of gradients", between(0, 0.999999));
    visit("beta2", beta2, "decay of the mean of their squares", between(0, 0.999999));
    visit("epsilon", epsilon, "added to the root of the mean square", between(1e-30, 1));
    visit("decay", decay, "weight decay, of weights of linear layers alone", between(0, 10));
  }
};

// AdamW (Loshchilov & Hutter 2019, algorithm 2). At step n, for each parameter θ with gradient g:
//   θ ← θ − rate·decay·θ                     (weights of linear layers alone)
//   m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
//   θ ← θ − rate / (1 − β₁ⁿ) · m / (√v / √(1 − β₂ⁿ) + ε)
// Where g² overflows θ becomes NaN: it would rest for ever otherwise, without a word.
class AdamW : public Optimiser {
 public:
  AdamW(Module& model, const AdamWOptions& options);

 protected:
  AdamW(const char* name, Module& model, const AdamWOptions& options, const StateNames& state_of);
  void update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) override;

 private:
  AdamWOptions options_;
};

struct SgdOptions : Options {
  double momentum = 0.9;
  bool nesterov = false;
  double decay = 0;

  void fields(FieldVisitor& visit) override {
    visit("momentum", momentum, "share of the sum of gradients that a step keeps", between(0, 0.999999));
    visit("nesterov", nesterov, "look ahead by one step of the momentum");
    visit.only(momentum > 0, "momentum is not 0", {"nesterov"});
    visit("decay", decay, "weight decay, of weights of linear layers alone", between(0, 10));
  }
};

// Stochastic gradient descent with momentum μ, in the form of Sutskever et al. 2013 that PyTorch uses:
//   g ← g + decay·θ                          (weights of linear layers alone)
//   m ← μ m + g
//   θ ← θ − rate m,   or with Nesterov's look ahead   θ ← θ − rate (g + μ m)
class Sgd : public Optimiser {
 public:
  Sgd(Module& model, const SgdOptions& options);

 private:
  void update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) override;

  SgdOptions options_;
};

struct LionOptions : Options {
  double beta1 = 0.9, beta2 = 0.99;
  double decay = 1;

  void fields(FieldVisitor& visit) override {
    visit("beta1", beta1, "share of the mean of gradients in the sign that is taken", between(0, 0.999999));
    visit("beta2", beta2, "decay of the mean of gradients", between(0, 0.999999));
    visit("decay", decay, "weight decay, of weights of linear layers alone", between(0, 10));
  }
};

// Lion (Chen et al. 2023, algorithm 2):
//   θ ← θ − rate (sign(β₁ m + (1 − β₁) g) + decay·θ)      (decay: of weights of linear layers alone)
//   m ← β₂ m + (1 − β₂) g
class Lion : public Optimiser {
 public:
  Lion(Module& model, const LionOptions& options);

 private:
  void update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) override;

  LionOptions options_;
};

struct MuonOptions : AdamWOptions {
  double momentum = 0.95;
  double adamw_rate = 0.015;

  void fields(FieldVisitor& visit) override {
    visit("momentum", momentum, "decay of the mean of gradients", between(0, 0.999999));
    visit("adamw_rate", adamw_rate, "rate of AdamW, which takes the other parameters, as a share of the schedule's",
          between(0, 100));
    AdamWOptions::fields(visit);
  }
};

// Muon (Jordan et al. 2024) for hidden matrices (weights of linear layers but the head; leading axes count matrices), AdamW
// at its own rate for the rest. With Nesterov's look ahead, and five steps of Newton and Schulz towards U Vᵀ of G = U Σ Vᵀ:
//   m ← μ m + (1 − μ) g,   G = (1 − μ) g + μ m
//   X = G/(‖G‖ + 10⁻⁷);   five times: A = X Xᵀ,  X ← 3.4445 X + (−4.7750 A + 2.0315 A²) X
//   θ ← θ − rate·decay·θ − rate √max(1, rows/columns) X
class Muon : public AdamW {
 public:
  Muon(Module& model, const MuonOptions& options);

 private:
  void update(const std::vector<Update>& updates, double rate, const Tensor& gradient_scale) override;
  void update_matrix(const Update& one, double rate, const Tensor& gradient_scale) const;

  MuonOptions options_;
};

// The optimiser of a run: its name, and the options of each.
struct OptimiserOptions : Options {
  std::string name = "adamw";
  AdamWOptions adamw;
  SgdOptions sgd;
  LionOptions lion;
  MuonOptions muon;

  void fields(FieldVisitor& visit) override;   // the name, then the fields of the one that it names
  std::unique_ptr<Optimiser> make(Module& model) const;
};

}  // namespace tapir::nn
