// What a training asks of a device, as the emulator counts it: launches of kernels, and waits of the host.
#include <doctest/doctest.h>

#include <limits>
#include <sstream>

#include "attention/zoo.h"
#include "attention/reproduce/tasks/task.h"
#include "autograd/backward.h"
#include "autograd/ops/arithmetic.h"
#include "nn/train/checkpoint.h"
#include "nn/train/metrics.h"
#include "tensor/arena.h"
#include "tensor/random.h"
#include "tests/autograd/evaluate.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/emulator/emulator.h"
#include "tests/messages.h"
#include "tests/tensor/policies.h"

namespace tapir {
namespace {

using testing::TemporaryFolder;

constexpr const char* tiny = R"(
[run]
device = "cuda"
[data]
kind = "generated"
max_types = 40
train_tokens = 2000
valid_tokens = 100
test_tokens = 100
[model]
context = 8
width = 16
layers = 1
heads = 2
[train]
batch = 2
evaluate_every = 0
save_every = 0
)";

// Parameters of many sizes, one of them in several chunks, with gradients; and an optimiser of theirs.
struct Many : nn::Module {
  Many(const std::string& name, Device device) {
    int64_t k = 0;
    for (const Shape& shape : std::vector<Shape>{{3}, {40, 50}, {1}, {130, 131}, {16384}, {7}}) {
      const auto kind = shape.rank() == 2 ? nn::ParameterKind::weight : nn::ParameterKind::bias;
      parameter(text("p", k++), shape, kind, nn::Init::normal(1));
    }
    initialise(1, DType::f32, device);
    nn::OptimiserOptions options;
    options.name = name;
    optimiser = options.make(*this);
    each_parameter([&](const std::string& name, nn::Parameter& parameter) {
      Tensor g = Tensor::empty(parameter.shape, DType::f32, device);
      normal_(g, 0, 1, {.seed = 2, .step = 0, .site = site_of(name)});
      set_gradient(parameter.value, g);
    });
  }

  std::vector<Tensor> tensors() {
    std::vector<Tensor> all;
    each_parameter([&](const std::string&, nn::Parameter& parameter) { all.push_back(parameter.value.detach()); });
    for (const auto& state : optimiser->state()) all.push_back(state.second);
    return all;
  }

  std::unique_ptr<nn::Optimiser> optimiser;
};

TrainReport train_in(const std::filesystem::path& folder, const std::vector<std::string>& settings, int64_t spoilt_step = -1) {
  const TemporaryFolder place;
  Experiment experiment = read_experiment(place.write("tiny.toml", tiny), settings);
  const ComputeAs computing(experiment);
  const std::unique_ptr<Task> task = make_task(experiment);
  TrainTask loop = task->train_task();
  const auto loss = loop.loss;
  loop.loss = [&](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    LossSum sum = loss(step, part, parts, call);
    if (step == spoilt_step) sum.sum = mul(sum.sum, Tensor::full({}, std::numeric_limits<double>::quiet_NaN(), sum.sum.dtype()));
    return sum;
  };
  std::ostringstream out;
  return train(loop, experiment.train, experiment.schedule, experiment.optimiser, 1, {.folder = folder, .out = out});
}

int64_t waits_of(const std::vector<std::string>& settings) {
  const TemporaryFolder folder;
  const int64_t before = emulator::waits();
  train_in(folder.path(), settings);
  return emulator::waits() - before;
}

}  // namespace

TEST_CASE("memory that is cached in blocks of another size is given back before there is none") {
  Arena& arena = Arena::of(Device::cuda);
  arena.release_cache();
  emulator::set_memory(arena.statistics().reserved + (3 << 20));
  Tensor::empty({500, 1024}, DType::f32, Device::cuda);   // 2 MB, cached
  CHECK(arena.statistics().reserved - arena.statistics().in_use >= 2'000'000);
  CHECK(Tensor::empty({600, 1024}, DType::f32, Device::cuda).elements() == 600 * 1024);
  const std::string message = message_of([] { Tensor::empty({900, 1024}, DType::f32, Device::cuda); });
  emulator::set_memory(int64_t{1} << 36);
  CHECK(contains_text(message, "arena: no memory for 3686400 bytes while "));
}

TEST_CASE("a step is one launch for all parameters, clipping takes three, and both give the CPU's bits") {
  for (const std::string name : {"adamw", "sgd", "lion"}) {
    INFO(name);
    Many here(name, Device::cpu), there(name, Device::cuda);
    for (int step = 0; step < 3; ++step) {
      const nn::Optimiser::Clip expected = here.optimiser->clip(0.5, 3);
      here.optimiser->step(0.1, expected.scale);
      const int64_t before = emulator::launches(), waits = emulator::waits();
      const nn::Optimiser::Clip clip = there.optimiser->clip(0.5, 3);
      CHECK(emulator::launches() - before == 3);   // of ranges, of parameters, of all
      there.optimiser->step(0.1, clip.scale);
      CHECK(emulator::launches() - before == 4);
      CHECK(emulator::waits() == waits);
      CHECK(clip.norm.item() == expected.norm.item());
      CHECK(clip.scale.item() == expected.scale.item());
      CHECK(clip.scale.item() < 1.0 / 3);
    }
    const std::vector<Tensor> a = here.tensors(), b = there.tensors();
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(same_bits(a[i], b[i]));
  }
}

TEST_CASE("a training waits for the device only where it logs, whatever the mechanism") {
  for (const Mechanism& row : zoo()) {
    INFO(row.name);
    if (needs_of(row, *row.options()).all_tokens) continue;   // it models no language
    const std::string mechanism = "attention.mechanism=" + row.name;
    const int64_t short_run = waits_of({mechanism, "train.steps=20"}), long_run = waits_of({mechanism, "train.steps=40"});
    CHECK(long_run - short_run == 2);   // steps 30 and 40
  }
  const auto waits = [](const std::string& steps) {
    return waits_of({"train.steps=" + steps, "train.accumulate=2", "train.ema=0.9", "train.log_every=1000"});
  };
  CHECK(waits("30") == waits("4"));
}

TEST_CASE("a step that diverges on CUDA is seen later, named as it is, and never saved") {
  for (const bool saves : {false, true}) {
    const TemporaryFolder folder;
    const std::string message = message_of([&] {
      train_in(folder.path(), {"train.steps=40", saves ? "train.save_every=2" : "train.save_every=0"}, 6);
    });
    CHECK(message.starts_with("train: the loss of step 7 is nan; hint: lower the learning rate"));
    const std::vector<MetricsLine> lines = read_metrics(folder.path() / "metrics.jsonl");
    REQUIRE(lines.size() == 2);   // of step 1, and of the one that diverged
    CHECK(lines.back().step > 7);   // where it was seen
    std::vector<std::string> notes;
    const auto latest = CheckpointFolder(folder.path() / "checkpoints").load_latest(notes);
    REQUIRE(latest.has_value());
    CHECK(latest->step == (saves ? 6 : 0));
  }
}

}  // namespace tapir
