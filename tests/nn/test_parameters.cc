// Parameters that are given other values after an optimiser or averages were made: every optimiser trains what the model has
// now, or refuses.
#include <doctest/doctest.h>

#include "autograd/backward.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/layers/linear.h"
#include "nn/optim/ema.h"
#include "nn/optim/optimiser.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

std::unique_ptr<nn::Optimiser> optimiser_of(const std::string& name, nn::Module& model) {
  nn::OptimiserOptions options;
  options.name = name;
  return options.make(model);
}

struct Rows : nn::Linear {
  Rows() : nn::Linear(3, 2, false, nn::Init::normal(1)) {}
};

const std::vector<std::string> optimisers{"adamw", "sgd", "lion", "muon"};

nn::Parameter& weight_of(nn::Module& model) {
  nn::Parameter* first = nullptr;
  model.each_parameter([&](const std::string&, nn::Parameter& parameter) { first = first ? first : &parameter; });
  return *first;
}

std::vector<double> values_of(nn::Module& model) { return weight_of(model).value.values<double>(); }

// A step of a loss that every weight takes part in.
void train_step(Rows& model, nn::Optimiser& optimiser) {
  optimiser.clear_gradients();
  backward(sum(square(model.forward(Tensor::full({1, 3}, 1, DType::f64)))));
  optimiser.step(0.01);
}

std::string refusal(const std::string& name, const std::string& rule) { return name + ": parameter weight " + rule; }

}  // namespace

TEST_CASE("parameters: initialised again after the optimiser was made, they are trained") {
  for (const std::string& name : optimisers) {
    CAPTURE(name);
    Rows model;
    model.initialise(1, DType::f64);
    const std::unique_ptr<nn::Optimiser> optimiser = optimiser_of(name, model);
    model.initialise(2, DType::f64);
    const std::vector<double> before = values_of(model);
    train_step(model, *optimiser);
    const std::vector<double> after = values_of(model);
    for (size_t i = 0; i < before.size(); ++i) CHECK(after[i] != before[i]);

    Rows other;   // an optimiser made after the same initialise() takes the same step
    other.initialise(2, DType::f64);
    train_step(other, *optimiser_of(name, other));
    CHECK(after == values_of(other));
  }
}

TEST_CASE("parameters: an optimiser made before the model is initialised trains what it gets then") {
  for (const std::string& name : optimisers) {
    CAPTURE(name);
    Rows model, other;
    const std::unique_ptr<nn::Optimiser> early = optimiser_of(name, model);
    const std::string refused = refusal(name, "has no value; hint: initialise the model first");
    CHECK(message_of([&] { early->step(0.1); }) == refused);
    CHECK(message_of([&] { early->state(); }) == refused);
    CHECK(message_of([&] { early->clip(1, 1); }) == refused);
    model.initialise(2, DType::f64);
    other.initialise(2, DType::f64);
    const std::unique_ptr<nn::Optimiser> late = optimiser_of(name, other);
    for (int step = 0; step < 3; ++step) {
      train_step(model, *early);
      train_step(other, *late);
    }
    CHECK(values_of(model) == values_of(other));
    CHECK(early->state().front().second.values<double>() == late->state().front().second.values<double>());
  }
}

TEST_CASE("parameters: what the state of an optimiser does not fit is refused before anything changes") {
  for (const std::string& name : optimisers) {
    CAPTURE(name);
    Rows model;
    model.initialise(1, DType::f64);
    const std::unique_ptr<nn::Optimiser> optimiser = optimiser_of(name, model);
    const auto check_refused = [&](const std::string& message) {
      CHECK(message_of([&] { optimiser->step(0.1); }) == message);
      CHECK(message_of([&] { optimiser->clear_gradients(); }) == message);
      CHECK(message_of([&] { optimiser->clip(1, 1); }) == message);
      CHECK(optimiser->steps() == 0);
    };
    const auto changed = [&](const char* to) {
      const Device device = default_device();
      return text("must be dense f64[2,3] on ", device, " and is ", to, " on ", device,
                  "; hint: its state is of that kind: make the optimiser again");
    };
    model.initialise(1, DType::f32);
    check_refused(refusal(name, changed("f32[2,3]")));
    weight_of(model).value = requires_grad(Tensor::zeros({2, 4}, DType::f64));
    check_refused(refusal(name, changed("f64[2,4]")));
    weight_of(model).value = Tensor::zeros({2, 3}, DType::f64);
    check_refused(refusal(name, "is no leaf: nothing trains it; hint: give it a value of requires_grad"));
    weight_of(model).value = square(requires_grad(Tensor::zeros({2, 3}, DType::f64)));
    check_refused(refusal(name, "is no leaf: nothing trains it; hint: give it a value of requires_grad"));
  }
}

TEST_CASE("parameters: averages and weights change places, and back, as if nothing had been") {
  for (const std::string& name : optimisers) {
    CAPTURE(name);
    Rows model, twin;
    model.initialise(1, DType::f64);
    twin.initialise(1, DType::f64);
    const std::unique_ptr<nn::Optimiser> optimiser = optimiser_of(name, model), of_twin = optimiser_of(name, twin);
    nn::Ema ema(model, 0.5);
    const std::vector<double> initial = values_of(model);
    train_step(model, *optimiser);
    train_step(twin, *of_twin);
    ema.update();
    ema.exchange();
    const std::vector<double> averages = values_of(model), weights = values_of(twin);
    for (size_t i = 0; i < averages.size(); ++i) CHECK(averages[i] == 0.5 * initial[i] + 0.5 * weights[i]);
    CHECK(ema.state().front().second.values<double>() == weights);
    CHECK(message_of([&] { ema.update(); }) ==
          "ema: the model has the averages; hint: exchange() them back before the next update");
    ema.exchange();
    train_step(model, *optimiser);
    train_step(twin, *of_twin);
    CHECK(values_of(model) == values_of(twin));
    ema.update();
  }
}

TEST_CASE("parameters: a model that got its averages is trained on from them") {
  for (const std::string& name : optimisers) {
    CAPTURE(name);
    Rows model, from_averages;
    model.initialise(1, DType::f64);
    from_averages.initialise(1, DType::f64);
    nn::Ema ema(model, 0.5);
    train_step(model, *optimiser_of(name, model));
    ema.update();
    ema.exchange();
    weight_of(from_averages).value = requires_grad(weight_of(model).value.detach().copy());
    const std::unique_ptr<nn::Optimiser> optimiser = optimiser_of(name, model), other = optimiser_of(name, from_averages);
    for (int step = 0; step < 2; ++step) {
      train_step(model, *optimiser);
      train_step(from_averages, *other);
    }
    CHECK(values_of(model) == values_of(from_averages));
  }
}

TEST_CASE("parameters: a graph that saw the weights does not go back through averages in their place") {
  Rows model;
  model.initialise(1, DType::f64);
  nn::Ema ema(model, 0.5);
  const Tensor loss = sum(square(model.forward(requires_grad(Tensor::full({1, 3}, 1, DType::f64)))));
  ema.exchange();
  CHECK(contains_text(message_of([&] { backward(loss); }), "was written in place"));
}

TEST_CASE(
    "parameters: averages are of one kind and memory of their own, and are not exchanged with values that came in between") {
  Rows model;
  model.initialise(1, DType::f64);
  nn::Ema ema(model, 0.5);
  ema.exchange();
  model.initialise(2, DType::f64);
  CHECK(message_of([&] { ema.exchange(); }) ==
        "ema: weight was given another value while the model had the averages; hint: exchange() them back first");
  nn::Ema later(model, 0.5);
  model.initialise(2, DType::f32);
  CHECK(contains_text(message_of([&] { later.update(); }), "ema: element types differ: f64[2,3] and f32[2,3]"));
  weight_of(model).value = transpose(Tensor::zeros({3, 2}, DType::f64));
  CHECK(message_of([&] { later.update(); }) == "ema: weight must be dense [2,3] and is [2,3]; hint: make the averages again");

  struct Pair : nn::Module {
    nn::Parameter& a = parameter("a", {2}, nn::ParameterKind::bias, nn::Init::constant(1));
    nn::Parameter& b = parameter("b", {2}, nn::ParameterKind::bias, nn::Init::constant(1));
  } pair;
  pair.initialise(1);
  pair.b.value = pair.a.value;
  nn::Ema shared(pair, 0.5);
  CHECK(message_of([&] { shared.exchange(); }) == "ema: a and b share memory; hint: register what is shared once");
}
