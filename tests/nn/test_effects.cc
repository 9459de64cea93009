// What a forward pass leaves beside its output: losses that modules add, and buffers. Right in parts of a batch, under
// recompute and across a cut; averaged where they are statistics; refused where nobody takes them.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <sstream>

#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "autograd/tolerance.h"
#include "nn/models/transformer.h"
#include "nn/optim/ema.h"
#include "nn/train/metrics.h"
#include "nn/train/trainer.h"
#include "nn/train/weights.h"
#include "tensor/elementwise.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/messages.h"

namespace tapir {
namespace {

using Values = std::vector<double>;
using testing::TemporaryFolder;

constexpr int64_t width = 4, vocabulary = 5, batch = 4, length = 3;

// y = gain x + mean, where `mean` is what earlier steps saw of x, and a loss that wants x small. `hasty` takes the mean of its
// own pass at once, so what a sample gives depends on the others beside it.
class Watcher : public nn::TokenMixer {
 public:
  explicit Watcher(bool hasty = false)
      : hasty_(hasty), gain_(parameter("gain", {width}, nn::ParameterKind::gain, nn::Init::normal(1))),
        mean_(buffer("mean", {width}, nn::BufferKind::statistics, nn::Init::constant(0.25))),
        steps_(buffer("steps", {1}, nn::BufferKind::memory, nn::Init::constant(0))) {}

  Tensor forward(const Tensor& x, const Tensor&, const nn::Call& call) override {
    const Scope scope = enter();
    const Tensor before = call.read(mean_);
    const Tensor now = mean(mean(x, 0), 0);   // (C)
    call.write(mean_, add(affine(before, 0.75, 0), affine(now, 0.25, 0)));
    call.write(steps_, affine(call.read(steps_), 1, 1));
    call.add_loss("size", mean(square(mul(x, gain_.value))), 0.5);
    return leave(add(mul(x, gain_.value), hasty_ ? call.read(mean_) : before), x);
  }

 private:
  const bool hasty_;
  nn::Parameter& gain_;
  nn::Buffer &mean_, &steps_;
};

struct Model {
  explicit Model(bool recompute = false, bool hasty = false, const std::string& norm = "pre") {
    nn::TransformerOptions options;
    options.vocabulary = vocabulary;
    options.context = length;
    options.width = width;
    options.layers = 2;
    options.heads = 1;
    options.dropout = 0;
    options.recompute = recompute;
    options.norm = norm;
    model =
        std::make_unique<nn::LanguageModel>(options, [=](const nn::MixerShape&) { return std::make_unique<Watcher>(hasty); });
    model->initialise(7, DType::f64);
    task = std::make_unique<TrainTask>(TrainTask{
        *model,
        [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
          const int64_t rows = batch / parts, counted = batch * length;
          const auto ids = [&](int64_t shift) {
            std::vector<int32_t> all;
            for (int64_t i = part * rows * length; i < (part + 1) * rows * length; ++i)
              all.push_back(static_cast<int32_t>((i * i + 3 * i + step + shift) % vocabulary));
            return Tensor::from(all, {rows, length});
          };
          return LossSum{cross_entropy(model->forward(ids(0), call), ids(1)), counted / parts, counted};
        },
        [this](const nn::Call& call) {
          const Tensor ids = Tensor::from(std::vector<int32_t>{0, 1, 2}, {1, length});
          return Metrics{{"validation_loss", cross_entropy(model->forward(ids, call), ids).item()}};
        },
        "watcher"});
  }

  // Trains in the folder and returns all that is left.
  std::map<std::string, Values> train_in(const std::filesystem::path& folder, int64_t accumulate, double ema = 0,
                                         bool resume = false, int64_t stop_after = 0) {
    TrainOptions options;
    options.steps = 6;
    options.batch = batch;
    options.accumulate = accumulate;
    options.ema = ema;
    options.log_every = 1;
    options.evaluate_every = options.save_every = 2;
    std::ostringstream out;
    nn::Schedule schedule;
    schedule.rate = 0.05;
    train(*task, options, schedule, {}, 3, {.folder = folder, .resume = resume, .stop_after = stop_after, .out = out});
    std::map<std::string, Values> all;
    for (const NamedTensor& one : load_safetensors(folder / "model.safetensors").tensors())
      all[one.name] = one.tensor.to(DType::f64).values<double>();
    return all;
  }

  std::unique_ptr<nn::LanguageModel> model;
  std::unique_ptr<TrainTask> task;
};

std::map<std::string, Values> trained(int64_t accumulate, bool recompute = false, bool hasty = false, double ema = 0) {
  const TemporaryFolder folder;
  return Model(recompute, hasty).train_in(folder.path() / "run", accumulate, ema);
}

double difference(const std::map<std::string, Values>& a, const std::map<std::string, Values>& b) {
  double worst = a.size() == b.size() ? 0 : HUGE_VAL;
  for (const auto& [name, values] : a)
    for (size_t i = 0; i < values.size(); ++i) worst = std::max(worst, error_of(values[i], b.at(name).at(i)));
  return worst;
}

Tensor tokens() { return Tensor::from(std::vector<int32_t>{0, 1, 2}, {1, length}); }

}  // namespace

TEST_CASE(
    "effects: a batch in parts trains as the whole one, with added losses and buffers; a mixer that looks at its batch does "
    "not") {
  const auto whole = trained(1), hasty = trained(1, false, true);
  CHECK(whole.at("blocks.0.attention.steps") == Values{6});
  CHECK(whole.at("blocks.1.attention.mean") != Values(width, 0.25));
  for (const int64_t parts : {2, 4}) {
    CHECK(difference(trained(parts), whole) <= 1e-12);
    CHECK(difference(trained(parts, false, true), hasty) > 1e-6);
  }
}

TEST_CASE("effects: recompute and a cut change no bit") {
  for (const bool hasty : {false, true}) {
    const auto plain = trained(2, false, hasty);
    CHECK(trained(2, true, hasty) == plain);
    for (const bool recompute : {false, true}) {
      const TemporaryFolder folder;
      {
        Model first(recompute, hasty);
        CHECK_THROWS(first.train_in(folder.path() / "run", 2, 0, false, 3));   // there are no weights of an unfinished run
      }
      CHECK(Model(recompute, hasty).train_in(folder.path() / "run", 2, 0, true) == plain);
    }
  }
}

TEST_CASE("effects: the objective has the added losses, weighted, and they are logged under their names") {
  const TemporaryFolder folder;
  Model trained;
  trained.train_in(folder.path() / "run", 1);
  const std::vector<MetricsLine> lines = read_metrics(folder.path() / "run" / "metrics.jsonl");

  Model model;   // the first step by hand
  nn::Effects effects;
  const nn::Call call{.training = true, .seed = 3, .step = 0, .mask = {}, .recorder = {}, .effects = &effects};
  const LossSum loss = model.task->loss(0, 0, 1, call);
  REQUIRE(effects.losses().size() == 2);
  double added = 0;
  for (const auto& [name, value, weight] : effects.losses()) {
    CHECK(lines.front().number(name) == value.item());
    CHECK(weight == 0.5);
    added += weight * value.item();
  }
  CHECK(effects.losses()[1].name == "blocks.1.attention.size");
  CHECK(lines.front().number("loss") == loss.sum.item() / static_cast<double>(loss.count));
  CHECK(effects.added_to(loss.sum, 12).item() == doctest::Approx(loss.sum.item() + 12 * added).epsilon(1e-14));

  // By differences of the objective: the gradient that the loop steps with.
  const std::unique_ptr<nn::Optimiser> optimiser = nn::OptimiserOptions().make(*model.model);
  accumulate_gradients(*model.task, *optimiser, 0, 2, 3);
  nn::Parameter& gain = model.model->parameter_at("blocks.0.attention.gain");
  const Values g = gradient(gain.value).values<double>();
  const Tensor point = gain.value;
  const auto objective = [&](double shift) {
    const NoGrad guard;
    gain.value = add(point, Tensor::from(Values{shift, 0, 0, 0}, {width}));
    nn::Effects own;
    nn::Call at = call;
    at.effects = &own;
    return own.added_to(model.task->loss(0, 0, 1, at).sum, 12).item();
  };
  const double h = 1e-5, slope = (objective(h) - objective(-h)) / (2 * h);
  CHECK(std::abs(g[0] - slope) <= 1e-7 * std::abs(slope));
}

TEST_CASE("effects: averaged weights have averaged statistics, and the memory of the last step") {
  const auto with = trained(1, false, false, 0.5), without = trained(1);
  CHECK(with.at("blocks.0.attention.steps") == Values{6});
  Values mean(width, 0.25), average = mean;
  CHECK(with.at("blocks.0.attention.mean") != without.at("blocks.0.attention.mean"));

  Model model;
  nn::Ema ema(*model.model, 0.5);
  nn::Buffer* statistics = nullptr;
  model.model->each_buffer([&](const std::string& name, nn::Buffer& buffer) {
    if (name == "blocks.0.attention.mean") statistics = &buffer;
  });
  for (int step = 0; step < 3; ++step) {
    nn::Effects effects;
    model.task->loss(step, 0, 1, {.training = true, .mask = {}, .recorder = {}, .effects = &effects});
    CHECK(statistics->value.values<double>() == mean);   // until the step is done
    effects.commit();
    mean = statistics->value.values<double>();
    ema.update();
    for (int64_t c = 0; c < width; ++c) average[c] = 0.5 * average[c] + 0.5 * mean[c];
  }
  ema.exchange();
  CHECK(statistics->value.values<double>() == average);
  ema.exchange();
  CHECK(statistics->value.values<double>() == mean);
}

TEST_CASE("effects: evaluation reads what the last step left, adds nothing and writes nothing") {
  Model model;
  const std::string before = weights_digest(*model.model);
  const nn::Call call;
  const Values first = model.model->forward(tokens(), call).values<double>();
  CHECK(model.model->forward(tokens(), call).values<double>() == first);
  CHECK(weights_digest(*model.model) == before);
  model.model->each_buffer([](const std::string&, nn::Buffer& buffer) { copy_(buffer.value, affine(buffer.value, 1, 1)); });
  CHECK(weights_digest(*model.model) != before);   // buffers are saved and compared as weights are
  CHECK(model.model->forward(tokens(), call).values<double>() != first);
}

TEST_CASE("effects: what nobody would take is refused") {
  Model model;
  CHECK(message_of([&] { model.model->forward(tokens(), {.training = true, .mask = {}, .recorder = {}}); }) ==
        "blocks.0.attention: 'mean' has no place: the call is for training and has no effects (in blocks.0.attention); hint: "
        "give the "
        "call an nn::Effects");

  nn::Effects effects;
  effects.add_loss({"a", Tensor::full({}, 1), 1});
  CHECK(message_of([&] { effects.add_loss({"a", Tensor::full({}, 1), 1}); }) ==
        "a: this loss was added before; hint: give each loss of a module a name");
  CHECK(message_of([&] {
          effects.add_loss({"b", Tensor::full({2}, 1), 1});
        }) == "b: an added loss must be one element, got [2]");

  nn::Buffer buffer{"memory", {2}, nn::BufferKind::memory, nn::Init::constant(0)};
  CHECK(message_of([&] { effects.write(buffer, Tensor::zeros({2})); }) ==
        "memory: the buffer has no value; hint: initialise the model first");
  buffer.value = Tensor::zeros({2});
  const std::string device = text(default_device());
  CHECK(message_of([&] { effects.write(buffer, Tensor::zeros({3})); }) ==
        "memory: the buffer is f32[2] on " + device + ", what is written f32[3] on " + device);
  CHECK(message_of([&] { effects.write(buffer, Tensor::zeros({2}, DType::f64)); }) ==
        "memory: the buffer is f32[2] on " + device + ", what is written f64[2] on " + device);

  nn::Effects batch_effects, other;
  batch_effects.accumulate(effects, 0.5);
  other.add_loss({"c", Tensor::full({}, 1), 1});
  nn::Effects nothing, begun;
  begun.accumulate(nothing, 0.5);
  for (nn::Effects* one : {&batch_effects, &begun})
    CHECK(message_of([&] { one->accumulate(other, 0.5); }) ==
        "effects: the parts of a batch add other losses, or write other buffers, than the first one");

  const std::function loss = model.task->loss;
  model.task->loss = [&](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    LossSum sum = loss(step, part, parts, call);
    sum.of = 0;
    return sum;
  };
  const std::unique_ptr<nn::Optimiser> optimiser = nn::OptimiserOptions().make(*model.model);
  CHECK(message_of([&] { accumulate_gradients(*model.task, *optimiser, 5, 2, 1); }) ==
        "train: the task says that the batch of step 5 counts 0 targets, its parts count 12");
  model.task->loss = [&](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    LossSum sum = loss(step, part, parts, call);
    sum.sum = expand(sum.sum, {3});
    return sum;
  };
  CHECK(message_of([&] { accumulate_gradients(*model.task, *optimiser, 5, 1, 1); }) ==
        "train: the task's loss of step 5 must be a sum, of one element, got [3]");
  model.task->loss = [](int64_t, int64_t, int64_t, const nn::Call&) { return LossSum{Tensor(), 1, 1}; };
  CHECK(message_of([&] { accumulate_gradients(*model.task, *optimiser, 5, 1, 1); }) ==
        "train: the task's loss of step 5 must be a sum, of one element, got no value");
}

TEST_CASE("effects: what a module owns has a name of its own, and is found by it") {
  struct Twice : nn::Module {
    explicit Twice(int which) {
      parameter("a", {1}, nn::ParameterKind::bias, nn::Init::constant(0));
      if (which == 0) parameter("a", {1}, nn::ParameterKind::bias, nn::Init::constant(0));
      if (which == 1) buffer("a", {1}, nn::BufferKind::memory, nn::Init::constant(0));
      if (which == 2) child<nn::Dropout>("a", 0.5);
    }
  };
  for (const int which : {0, 1, 2}) CHECK(message_of([&] { Twice twice(which); }) == "module: there are two of the name 'a'");
  struct Below : nn::Module {
    Below() {
      parameter("first.weight", {1}, nn::ParameterKind::weight, nn::Init::constant(0));
      child<nn::Linear>("first", 2, 2, false, nn::Init::constant(0));
    }
  } below;
  CHECK(message_of([&] { below.initialise(1); }) == "module: there are two of the name 'first.weight'");
  struct Nameless : nn::Module {
    Nameless() { parameter("", {1}, nn::ParameterKind::weight, nn::Init::constant(0)); }
  };
  CHECK(message_of([] { Nameless nameless; }) == "module: a parameter, a buffer and a part must have a name");
  Twice twice(3);
  CHECK(twice.parameter_at("a").shape == Shape{1});
  CHECK(message_of([&] { twice.parameter_at("b"); }) == "module: there is no parameter 'b'; those below this module are: a");
}

}  // namespace tapir
