// What a summary predicts against what training takes.
#include <doctest/doctest.h>

#include "attention/kernels/pair_hidden.h"
#include "attention/reproduce/program/summary.h"
#include "attention/reproduce/tasks/language.h"
#include "autograd/backward.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/sum.h"
#include "nn/optim/ema.h"
#include "tensor/arena.h"
#include "tensor/cuda.h"
#include "tensor/dry_run.h"
#include "tensor/in_place.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/messages.h"
#include "tests/tensor/policies.h"

namespace tapir {
namespace {

using testing::TemporaryFolder;

Experiment experiment_of(const std::string& toml) {
  const TemporaryFolder folder;
  return read_experiment(folder.write("small.toml", toml), {});
}

// The recipe of wikitext2-dot-product.toml at a small size, in which logits still take the largest share.
constexpr const char* wikitext_shape = R"(
[data]
kind = "generated"
train_tokens = 3000
valid_tokens = 600
test_tokens = 600
[model]
context = 32
width = 32
layers = 4
heads = 4
[train]
batch = 8
)";

constexpr const char* another_shape = R"(
[run]
dtype = "f64"
[data]
kind = "generated"
max_types = 50
train_tokens = 3000
valid_tokens = 600
test_tokens = 600
[model]
context = 48
width = 24
layers = 2
heads = 4
key_heads = 2
hidden = 40
norm_kind = "rms"
positions = "alibi"
dropout = 0.1
[attention]
mechanism = "score_mlp"
form = "paper"
layers = "all"
[train]
batch = 6
accumulate = 2
ema = 0.99
[optimiser]
name = "muon"
)";

// Rounded operands are memory too.
std::string in_bf16(const std::string& device) {
  return "[run]\nprecision = \"bf16\"\ndevice = \"" + device + '"' + wikitext_shape;
}

int64_t measured_peak(Experiment experiment) {
  Arena& arena = Arena::of(experiment.device());
  const int64_t before = arena.statistics().in_use;
  const ComputeAs place(experiment);
  LanguageTask task(experiment);
  TrainTask loop = task.train_task();
  const std::unique_ptr<nn::Optimiser> optimiser = experiment.optimiser.make(task.model());
  std::optional<nn::Ema> ema;
  if (experiment.train.ema > 0) ema.emplace(task.model(), experiment.train.ema);
  arena.reset_peak();
  for (int64_t k = 0; k < 3; ++k) {
    const StepLoss loss = accumulate_gradients(loop, *optimiser, k, experiment.train.accumulate, 1);
    apply_gradients(*optimiser, 1e-3, experiment.train.clip, loss.count);
    if (ema) ema->update();
  }
  return arena.statistics().peak - before;
}

}  // namespace

TEST_CASE("summary: the predicted peak is the measured one") {
  const OnDevice device(default_device());
  const InPrecision precision(Precision::f32);
  std::vector<std::string> experiments{wikitext_shape, another_shape, in_bf16("cpu")};
  if (cuda::built) experiments.push_back(in_bf16("cuda"));
  for (const std::string& toml : experiments) {
    CAPTURE(toml);
    Experiment experiment = experiment_of(toml);
    const int64_t measured = measured_peak(experiment_of(toml));
    CHECK(measured > 1 << 20);
    CHECK(summarise(experiment).peak == measured);
  }
}

TEST_CASE("summary: parameters and operations are those of a count by hand") {
  Experiment experiment = experiment_of(wikitext_shape);
  const ModelSummary summary = summarise(experiment);
  const int64_t C = 32, T = 32, V = LanguageTask(experiment).tokenizer().size(), layers = 4;
  const ModelSummary::Row total = summary.total();
  CHECK(summary.units == T);
  CHECK(total.parameters == (2 * V + T) * C + 2 * C + layers * (12 * C * C + 9 * C));
  // Four projections and two layers of 4 C for each token, scores and mix with T keys, the head.
  CHECK(total.operations == T * (layers * (2 * 12 * C * C + 2 * 2 * T * C) + 2 * C * V));
  const auto row = [&](const std::string& path) {
    for (const ModelSummary::Row& one : summary.rows)
      if (one.path == path) return one;
    FAIL("no row ", path);
    return ModelSummary::Row{};
  };
  CHECK(row("blocks.2.mlp.up").shapes == "weight [128,32], bias [128]");
  CHECK(row("blocks.2.mlp.up").operations == T * 2 * C * 4 * C);
  CHECK(row("blocks.2.attention").parameters == 0);
  CHECK(row("blocks.2.attention").operations == 2 * 2 * T * T * C);
  CHECK(row("tokens").operations == 0);
  CHECK(summary.rows.front().path == "tokens");
}

TEST_CASE("summary: biases are no operations, a tied head has its product and no parameters, heads count with their width") {
  const TemporaryFolder folder;
  Experiment experiment = read_experiment(folder.write("small.toml", wikitext_shape),
                                          {"model.head_width=12", "model.bias=false", "model.attention_bias=true",
                                           "model.tied_head=true", "model.head_bias=true"});
  const ModelSummary summary = summarise(experiment);
  const int64_t C = 32, T = 32, V = LanguageTask(experiment).tokenizer().size(), layers = 4, inner = 4 * 12;
  const ModelSummary::Row total = summary.total();
  CHECK(total.parameters == (V + T) * C + C + V + layers * (4 * C * inner + 3 * inner + C + 2 * C + 8 * C * C));
  CHECK(total.operations == T * (layers * (2 * (4 * C * inner + 8 * C * C) + 2 * 2 * T * inner) + 2 * C * V));
}

TEST_CASE("dry run: units of pairs are counted, forward and backward") {
  const DryRun dry;
  const Tensor a = requires_grad(Tensor::zeros({2, 3, 5, 4})), c = requires_grad(Tensor::zeros({2, 3, 7, 4})),
               weight = requires_grad(Tensor::zeros({3, 1, 4}));
  const Tensor y = pair_hidden(a, c, weight, {});
  const int64_t pass = 2 * 2 * 3 * 5 * 7 * 4;
  CHECK(dry.operations() == std::map<std::string, int64_t>{{"", pass}});
  grad({sum(y)}, {a, c, weight});
  CHECK(dry.operations() == std::map<std::string, int64_t>{{"", 3 * pass}});
}

TEST_CASE("dry run: nothing is computed, all is allocated, and it ends") {
  const Tensor a = Tensor::full({40, 30}, 2), b = Tensor::full({30, 20}, 3);
  Tensor y = Tensor::full({4}, 7);
  {
    DryRun dry;
    const Scope scope("somewhere");
    fill_(y, 1);
    CHECK(matmul(a, b).shape() == Shape{40, 20});
    CHECK(dry.operations() == std::map<std::string, int64_t>{{"somewhere", 2 * 40 * 30 * 20}});
    CHECK(message_of([] { DryRun another; }) == "dry run: there is one already (in somewhere)");
    CHECK(DryRun::current() == &dry);
  }
  CHECK(DryRun::current() == nullptr);
  CHECK(y.values<float>() == std::vector<float>(4, 7));
  CHECK(matmul(a, b).values<float>()[0] == 180);
}

}  // namespace tapir
