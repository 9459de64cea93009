#include "nn/optim.h"

#include <cmath>

#include "autograd/backward.h"
#include "autograd/node.h"
#include "tensor/parallel.h"

namespace tapir::nn {
namespace {

template <class T> struct SquareOf {
  const T* x;
  HD double operator()(int64_t i) const { return static_cast<double>(x[i]) * static_cast<double>(x[i]); }
};

}  // namespace

Optimiser::Optimiser(const char* name, Module& model, const StateNames& state_of) : name_(name) {
  model.each_parameter([&](const std::string& parameter_name, Parameter& parameter) {
    const Tensor& value = parameter.value;
    require(
        value.defined(), name, [&] { return text("parameter ", parameter_name, " has no value"); },
        "initialise the model first");
    Slot slot{parameter_name, parameter.kind, value, {}};
    for (const std::string& state : state_of(parameter)) {
      slot.state.push_back(Tensor::zeros(value.shape(), value.dtype(), value.device()));
      state_names_.push_back(parameter_name + '.' + state);
    }
    slots_.push_back(std::move(slot));
  });
}

void Optimiser::step(double rate, double gradient_scale) {
  const NoGrad guard;
  ++steps_;
  for (const Slot& slot : slots_) {
    const Tensor g = gradient(slot.value);
    if (!g.defined()) continue;
    update(slot, g.contiguous(), rate, gradient_scale);
    slot.value.wrote();
  }
}

void Optimiser::clear_gradients() {
  for (Slot& slot : slots_) set_gradient(slot.value, Tensor());
}

double Optimiser::gradient_norm() const {
  if (slots_.empty()) return 0;
  const Tensor squares = Tensor::zeros({static_cast<int64_t>(slots_.size())}, DType::f64, slots_[0].value.device());
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!gradient(slots_[i].value).defined()) continue;
    const Tensor g = gradient(slots_[i].value).contiguous();
    with_float(name_, g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      full_sum(g.device(), g.elements(), SquareOf<T>{g.data<T>()}, squares.data<double>() + i);
    });
  }
  double total = 0;
  for (const double square : squares.values<double>()) total += square;
  return std::sqrt(total);
}

std::vector<std::pair<std::string, Tensor>> Optimiser::state() const {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const Slot& slot : slots_)
    for (const Tensor& state : slot.state) tensors.emplace_back(state_names_[tensors.size()], state);
  return tensors;
}

void OptimiserOptions::fields(FieldVisitor& visit) {
  visit("name", name, "the optimiser", Choices{"adamw", "sgd", "lion", "muon"});
  if (name == "sgd") sgd.fields(visit);
  else if (name == "lion") lion.fields(visit);
  else if (name == "muon") muon.fields(visit);
  else adamw.fields(visit);
}

std::unique_ptr<Optimiser> OptimiserOptions::make(Module& model) const {
  if (name == "sgd") return std::make_unique<Sgd>(model, sgd);
  if (name == "lion") return std::make_unique<Lion>(model, lion);
  if (name == "muon") return std::make_unique<Muon>(model, muon);
  return std::make_unique<AdamW>(model, adamw);
}

}  // namespace tapir::nn
