#include "nn/optim/optimiser.h"

#include "autograd/backward.h"
#include "autograd/node.h"
#include "nn/optim/own_memory.h"
#include "tensor/argument.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"

namespace tapir::nn {
namespace {

template <class T> struct SquareOf {
  const T* x;
  HD double operator()(int64_t i) const { return static_cast<double>(x[i]) * static_cast<double>(x[i]); }
};

struct ClipElement {
  const double* squares;   // of each parameter's gradient
  int64_t parameters;
  double limit, count;
  double *norm, *scale;
  HD void operator()(int64_t) const {
    double total = 0;
    for (int64_t k = 0; k < parameters; ++k) total += squares[k];
    *norm = math::sqrt(total) / count;
    *scale = (limit > 0 && *norm > limit ? limit / *norm : 1.0) / count + (*norm - *norm);   // NaN with an infinite norm
  }
};

}  // namespace

Optimiser::Optimiser(const char* name, Module& model, const StateNames& state_of) : name_(name) {
  bool initialised = true;
  model.each_parameter([&](const std::string& parameter_name, Parameter& parameter) {
    slots_.push_back({parameter_name, parameter.kind, &parameter, state_of(parameter)});
    initialised = initialised && parameter.value.defined();
  });
  if (initialised) make_state();
}

void Optimiser::make_state() {
  if (slots_.empty() || !slots_.front().state.empty()) return;
  std::vector<std::pair<std::string, Tensor>> values;
  for (const Slot& slot : slots_) {
    values.emplace_back(slot.name, value_of(slot));
    require_same_kind(name_, {&values.front().second, &values.back().second});
  }
  require_own_memory(name_, values);
  for (Slot& slot : slots_) {
    const Tensor& value = slot.parameter->value;
    for (size_t i = 0; i < slot.state_names.size(); ++i)
      slot.state.push_back(Tensor::zeros(value.shape(), value.dtype(), value.device()));
  }
}

const Tensor& Optimiser::value_of(const Slot& slot) const {
  const Tensor& value = slot.parameter->value;
  require(
      value.defined(), name_, [&] { return text("parameter ", slot.name, " has no value"); }, "initialise the model first");
  require(
      value.leaf, name_, [&] { return text("parameter ", slot.name, " is no leaf: nothing trains it"); },
      "give it a value of requires_grad");
  const Tensor& first = slot.state.empty() ? value : slot.state.front();
  const Shape& shape = slot.parameter->shape;
  require(
      value.dtype() == first.dtype() && value.shape() == shape && value.device() == first.device() && value.is_contiguous(),
      name_,
      [&] {
        return text("parameter ", slot.name, " must be dense ", first.dtype(), shape, " on ", first.device(), " and is ",
                    value.dtype(), value.shape(), " on ", value.device());
      },
      "its state is of that kind: make the optimiser again");
  return value;
}

std::vector<Optimiser::Update> Optimiser::updates() const {
  std::vector<Update> all;
  for (const Slot& slot : slots_) {
    const Tensor& value = value_of(slot);
    if (const Tensor g = gradient(value); g.defined()) all.push_back({slot, value, g.contiguous()});
  }
  return all;
}

Device Optimiser::device() const { return slots_.empty() ? default_device() : value_of(slots_.front()).device(); }

void Optimiser::step(double rate, const Tensor& gradient_scale) {
  require_in(interval::not_negative, name_, "the rate", rate);
  const NoGrad guard;
  make_state();
  const std::vector<Update> all = updates();
  ++steps_;
  if (all.empty()) return;
  update(all, rate, gradient_scale);
  for (const Update& one : all) one.value.wrote();
}

void Optimiser::step(double rate, double gradient_scale) {
  require_in(interval::finite, name_, "gradient_scale", gradient_scale);
  step(rate, Tensor::full({}, gradient_scale, DType::f64, device()));
}

void Optimiser::clear_gradients() {
  for (const Slot& slot : slots_) set_gradient(value_of(slot), Tensor());
}

Optimiser::Clip Optimiser::clip(double limit, int64_t count) const {
  require_in({0, HUGE_VAL}, name_, "the limit of clipping", limit);
  require(count > 0, name_, [&] { return text("gradients must be sums over 1 target or more, got ", count); });
  const std::vector<Update> all = updates();
  const auto parameters = static_cast<int64_t>(all.size());
  const Device device = this->device();
  const Tensor squares = Tensor::empty({parameters}, DType::f64, device);
  if (parameters > 0)
    with_float(name_, all.front().g.dtype(), [&](auto zero) {
      using T = decltype(zero);
      std::vector<Loop<SquareOf<T>>> loops;
      for (const Update& one : all) loops.push_back({one.g.elements(), {one.g.data<T>()}});
      full_sum(device, loops, squares.data<double>());
    });
  const Clip clip{Tensor::empty({1}, DType::f64, device), Tensor::empty({1}, DType::f64, device)};
  for_each(device, 1, ClipElement{squares.data<double>(), parameters, limit, static_cast<double>(count),
                                  clip.norm.data<double>(), clip.scale.data<double>()});
  return clip;
}

double Optimiser::gradient_norm() const { return clip(0, 1).norm.item(); }

std::vector<std::pair<std::string, Tensor>> Optimiser::state() {
  make_state();
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const Slot& slot : slots_)
    for (size_t i = 0; i < slot.state.size(); ++i) tensors.emplace_back(slot.name + '.' + slot.state_names[i], slot.state[i]);
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
  require_allowed(name.c_str(), *this);
  if (name == "sgd") return std::make_unique<Sgd>(model, sgd);
  if (name == "lion") return std::make_unique<Lion>(model, lion);
  if (name == "muon") return std::make_unique<Muon>(model, muon);
  return std::make_unique<AdamW>(model, adamw);
}

}  // namespace tapir::nn
