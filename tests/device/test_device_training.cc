// Trainings on a CUDA device against the CPU's: from the same weights and on the same batches every step has the same loss.
// Elementwise and row kernels give the same bits; matrix products, which sum in another order, are why losses may differ at all.
#include <doctest/doctest.h>

#include <cmath>

#include "attention/zoo.h"
#include "attention/reproduce/tasks/task.h"
#include "autograd/tolerance.h"
#include "nn/train/metrics.h"
#include "nn/train/weights.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"
#include "tests/tensor/policies.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using Settings = std::vector<std::string>;
using namespace testing;

const std::string text_task = R"(
[data]
kind = "generated"
max_types = 40
train_tokens = 2000
valid_tokens = 100
test_tokens = 100
)";
const std::string recall_task = "[task]\nname = 'recall'\nsymbols = 3\nsize = 2\n";
const std::string tiny = R"(
[model]
context = 8
width = 16
layers = 2
heads = 2
dropout = 0.1
[train]
steps = 12
batch = 2
clip = 0.5
log_every = 1
evaluate_every = 6
save_every = 6
[schedule]
rate = 3e-3
warmup = 10
)";

const std::string text_model = text_task + tiny, recall_model = recall_task + tiny;
const std::string images = R"(
[task]
name = "image"
label_smoothing = 0.1
[data]
kind = "synthetic-shapes"
size = 16
train_images = 4
valid_images = 12
test_images = 12
crop_padding = 1
flip = 0.5
[train]
steps = 12
batch = 4
[schedule]
rate = 3e-3
warmup = 0
[model]
)";
const std::string images_vit = images + "name = 'vit'\npatch = 8\nwidth = 16\nlayers = 2\nheads = 2\n";
const std::string images_resnet = images + "name = 'resnet'\nwidth = 8\ndepth = 8\n";
const std::string images_care = images + "name = 'care_transformer'\npatch = 2\ndepths = [1, 1, 1, 1]\nmemory = [4, 4, 8, 8]\n"
                                         "head_widths = [4, 8]\n[attention]\nmechanism = 'care'\nprojections = 'query_key'\n";

struct Training {
  std::string initial;          // digest of the first weights
  std::vector<double> losses;   // of every step
};

Training training_on(const std::string& device, const std::string& toml, Settings settings, int64_t steps) {
  const TemporaryFolder folder;
  settings.push_back("run.device=" + device);
  Experiment experiment = read_experiment(folder.write("tiny.toml", toml), settings);
  const ComputeAs place(experiment);
  const std::unique_ptr<Task> task = make_task(experiment);
  TrainTask loop = task->train_task();
  const std::unique_ptr<nn::Optimiser> optimiser = experiment.optimiser.make(task->model());
  Training training{weights_digest(task->model()), {}};
  for (int64_t k = 0; k < steps; ++k) {
    const StepLoss loss = accumulate_gradients(loop, *optimiser, k, experiment.train.accumulate, 1);
    training.losses.push_back(loss.sum.item() / static_cast<double>(loss.count));
    apply_gradients(*optimiser, experiment.schedule.at(k, steps), experiment.train.clip, loss.count);
  }
  task->model().each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    INFO(name);
    CHECK(std::string(name_of(parameter.value.device())) == device);
  });
  return training;
}

void check_equal(const std::string& toml, const Settings& settings, int64_t steps, double bound = 1e-5) {
  const Training here = training_on("cpu", toml, settings, steps);
  const Training there = training_on("cuda", toml, settings, steps);
  CHECK(there.initial == here.initial);
  CHECK(here.losses.back() < here.losses.front());
  for (int64_t k = 0; k < steps; ++k) {
    CAPTURE(k);
    CHECK(within(there.losses[k], here.losses[k], 0, bound));
  }
}

// The numbers of two logs: the same names at the same steps, each within the bound.
void check_equal_logs(const fs::path& found, const fs::path& expected) {
  const std::vector<MetricsLine> a = read_metrics(found / "metrics.jsonl"), b = read_metrics(expected / "metrics.jsonl");
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].step == b[i].step);
    REQUIRE(a[i].values.size() == b[i].values.size());
    for (const auto& value : b[i].values) {
      CAPTURE(value.first);
      CHECK(within(a[i].number(value.first), b[i].number(value.first), 0, 1e-5));
    }
  }
}

}  // namespace

TEST_CASE("every mechanism of the zoo trains a language model on CUDA with the losses of the CPU") {
  for (const Mechanism& row : zoo()) {
    INFO(row.name);
    if (needs_of(row, *row.options()).all_tokens) continue;   // it models no language
    check_equal(text_model, {"attention.mechanism=" + row.name}, 50);
  }
}

TEST_CASE("fused attention trains on CUDA with the losses of the CPU") {
  for (const char* name : {"dot_product", "expressive", "score_mlp", "mlp_qkv"}) {
    INFO(name);
    check_equal(text_model, {std::string("attention.mechanism=") + name, "attention.implementation=fused"}, 8);
  }
  check_equal(text_model, {"attention.mechanism=score_mlp", "attention.form=paper", "attention.implementation=fused"}, 8);
}

TEST_CASE("a language model in f64 trains on CUDA with the losses of the CPU") {
  check_equal(text_model, {"run.dtype=f64"}, 50, 1e-11);
}

TEST_CASE("whatever an experiment may ask for, it trains on CUDA with the losses of the CPU") {
  for (const Settings& settings : std::vector<Settings>{
           {"attention.mechanism=score_mlp", "attention.form=paper", "attention.layers=all"},
           {"model.head_width=12", "model.attention_bias=true", "model.tied_head=true", "model.head_bias=true",
            "model.bias=false"},
           {"model.positions=rotary", "model.norm_kind=rms", "model.key_heads=1", "optimiser.name=sgd"},
           {"model.positions=alibi", "model.norm=post", "model.activation=relu", "optimiser.name=lion"},
           {"model.positions=sinusoidal", "model.recompute=true", "train.accumulate=2", "optimiser.name=muon"}}) {
    INFO(settings.front(), ", ", settings.back());
    check_equal(text_model, settings, 8);
  }
  check_equal(recall_model, {"schedule.warmup=0"}, 8);
}

TEST_CASE("classifiers of images train on CUDA with the losses of the CPU, whatever the stem, and with mixed images") {
  for (const Settings& settings : std::vector<Settings>{{"model.positions=rotary"},
                                                        {"model.stem=convolution", "model.pool=class", "data.mixup=0.4"},
                                                        {"model.stem=residual", "attention.mechanism=score_mlp", "attention.layers=all"}}) {
    INFO(settings.front(), ", ", settings.back());
    check_equal(images_vit, settings, 12);
  }
  check_equal(images_resnet, {"data.flip=0"}, 8);
  check_equal(images_care, {"data.flip=0"}, 8);
}

TEST_CASE("the program trains on CUDA, stops, goes on, evaluates and writes there, or on the other device") {
  const TemporaryFolder folder;
  const std::string experiment = in_quotes(folder.write("tiny.toml", text_model)), ema = " --set train.ema=0.9";
  const auto run_in = [&](const std::string& name) { return folder.path() / name; };
  const auto train = [&](const std::string& rest) { return tapir("train " + rest).status; };
  const auto on = [&](const std::string& device, const std::string& name) {
    return experiment + ema + " --device " + device + " --out " + in_quotes(run_in(name));
  };
  const auto resume = [&](const std::string& name) { return "--resume " + in_quotes(run_in(name)); };
  REQUIRE(train(on("cpu", "here")) == 0);
  REQUIRE(train(on("cuda", "there")) == 0);
  check_equal_logs(run_in("there"), run_in("here"));

  REQUIRE(train(on("cuda", "cut") + " --stop-after 5") == 0);
  REQUIRE(train(resume("cut")) == 0);   // the run that never stopped, bit by bit
  for (const char* file : {"metrics.jsonl", "model.safetensors"})
    CHECK(contents(run_in("cut") / file) == contents(run_in("there") / file));

  REQUIRE(train(on("cpu", "moved") + " --stop-after 5") == 0);
  REQUIRE(train(resume("moved") + " --device cuda --stop-after 8") == 0);
  REQUIRE(train(resume("moved") + " --device cpu") == 0);
  check_equal_logs(run_in("moved"), run_in("here"));

  const auto without_name = [](const std::string& out) { return out.substr(out.find("dot_product")); };
  const std::string both = "eval " + in_quotes(run_in("there"));
  const Outcome there = tapir(both), here = tapir(both + " --device cpu");
  CHECK(there.status == 0);
  CHECK(here.status == 0);
  CHECK(without_name(there.out) == without_name(here.out));   // to the digits that are shown
  const std::string words = "generate " + in_quotes(run_in("there")) + " --prompt 'The otter' --tokens 6";
  CHECK(tapir(words).status == 0);
  CHECK(tapir(words).out == tapir(words + " --device cpu").out);
  CHECK(tapir("report " + in_quotes(run_in("there")) + " --out " + in_quotes(run_in("report.html"))).status == 0);
}

}  // namespace tapir
