// Tasks and models as rows: which go together, which sections of an experiment follow from them, and what every task must give.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "attention/reproduce/program/record.h"
#include "attention/reproduce/program/summary.h"
#include "attention/reproduce/tasks/function.h"
#include "attention/reproduce/tasks/image.h"
#include "attention/reproduce/tasks/language.h"
#include "attention/reproduce/tasks/sequence.h"
#include "attention/reproduce/tasks/tokens.h"
#include "attention/zoo.h"
#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/tolerance.h"
#include "nn/train/training.h"
#include "nn/train/weights.h"
#include "tests/messages.h"
#include "tests/datasets/datasets_helpers.h"

using namespace tapir;
using testing::TemporaryFolder;

namespace {

Experiment experiment_of(const std::string& toml, const std::vector<std::string>& assignments = {}) {
  const TemporaryFolder folder;
  return read_experiment(folder.write("test.toml", toml), assignments);
}

const std::string function_of_mlp =
    "[task]\nname = 'function'\n[model]\nname = 'mlp'\nwidth = 8\n[train]\nbatch = 12\n[run]\ndtype = 'f64'\n";
const std::string tokens_of_transformer =
    "[model]\ncontext = 32\nwidth = 8\nlayers = 1\nheads = 2\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";

const std::string picture_of_implicit =
    "[task]\nname = 'picture'\n[data]\nsize = 6\n[model]\nname = 'implicit'\nwidth = 8\nlayers = 2\nshift = 'mean'\n[train]\nbatch = "
    "12\n[run]\ndtype = 'f64'\n";

std::string images_of(const std::string& model) {
  return "[task]\nname = 'image'\nlabel_smoothing = 0.1\n[data]\nkind = 'synthetic-shapes'\nsize = 16\ntrain_images = 60\n"
         "valid_images = 20\ntest_images = 20\ncrop_padding = 1\nflip = 0.5\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n"
         "[model]\nname = " + model;
}
const std::string images_of_vit = images_of("'vit'\npatch = 8\nwidth = 8\nlayers = 1\nheads = 2\n");
const std::string images_of_resnet = images_of("'resnet'\ndepth = 8\nwidth = 2\n");
const std::string images_of_care =
    images_of("'care_transformer'\npatch = 2\ndepths = [1, 1, 1, 2]\nmemory = [2, 2, 4, 4]\nhead_widths = [2, 4]\n"
              "[attention]\nmechanism = 'care'\nprojections = 'query_key'\n");

const std::string functions_of_fno =
    "[task]\nname = 'operator'\npoints = 16\nfunctions = 12\nevaluated = 6\n[model]\nname = 'fno'\nwidth = 4\nlayers = 1\nmodes = 3\n"
    "[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";
const std::string functions_of_transformer =
    "[task]\nname = 'operator'\npoints = 16\nfunctions = 12\nevaluated = 6\n[model]\nname = 'operator_transformer'\nwidth = 8\nlayers = "
    "1\nheads = 2\nmodes = 3\ndecoder_width = 4\n[attention]\nmechanism = 'galerkin'\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";

const std::string segmentation_of_former =
    "[task]\nname = 'segmentation'\nsize = 8\nclasses = 3\nregions = 3\nevaluated = 6\n[model]\nname = 'laplacian_former'\nstride = 2\n"
    "widths = [4, 8]\ndepths = [1, 1]\n[attention]\nmechanism = 'laplacian'\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";
const std::string series_of_transformer =
    "[task]\nname = 'appliances'\nsamples = 16\nwindows = 12\nevaluated = 6\n[model]\nname = 'series_transformer'\npatch = 2\nwidth = "
    "8\nlayers = 1\nheads = 2\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";

const std::string flows_of_transformer =
    "[task]\nname = 'operator'\nequation = 'darcy'\npoints = 5\nfunctions = 12\nevaluated = 6\n[model]\nname = 'operator_transformer'\n"
    "width = 8\nlayers = 1\nheads = 2\nmodes = 2\ndecoder_width = 4\n[attention]\nmechanism = 'galerkin'\n[train]\nbatch = 4\n[run]\n"
    "dtype = 'f64'\n";

// Of every row, with a model that fits it, small.
std::vector<std::pair<std::string, Experiment>> experiments() {
  std::vector<std::pair<std::string, Experiment>> all;
  all.emplace_back("function", experiment_of(function_of_mlp));
  all.emplace_back("language", experiment_of(tokens_of_transformer +
                                             "[data]\nkind = 'generated'\ntrain_tokens = 2000\nvalid_tokens = 300\n"));
  all.emplace_back("picture", experiment_of(picture_of_implicit));
  for (const std::string& images : {images_of_vit, images_of_resnet, images_of_care})
    all.emplace_back("image", experiment_of(images));
  all.emplace_back("operator", experiment_of(functions_of_fno));
  all.emplace_back("operator", experiment_of(functions_of_transformer));
  all.emplace_back("segmentation", experiment_of(segmentation_of_former));
  all.emplace_back("operator", experiment_of(flows_of_transformer));
  all.emplace_back("appliances", experiment_of(series_of_transformer));
  for (const std::string& name : sequence_tasks())
    all.emplace_back(name, experiment_of(tokens_of_transformer + "[task]\nname = '" + name + "'\nsize = 4\n"));
  return all;
}

}  // namespace

TEST_CASE("tasks: every task and every model has an experiment here") {
  std::set<std::string> tasks, models;
  for (const auto& [name, experiment] : experiments()) {
    tasks.insert(name);
    models.insert(experiment.model.name);
  }
  for (const std::string& name : task_names()) CHECK_MESSAGE(tasks.contains(name), "no experiment of the task " << name);
  for (const std::string& name : model_names()) CHECK_MESSAGE(models.contains(name), "no experiment of the model " << name);
}

TEST_CASE("tasks: every row trains, is evaluated on both parts, and says what is compared and what it counts") {
  for (auto& [label, experiment] : experiments()) {
    const std::string& name = label;   // clang captures no structured binding
    CAPTURE(name);
    const std::unique_ptr<Task> task = make_task(experiment);
    TrainTask loop = task->train_task();
    CHECK(loop.unit == task->unit());
    CHECK(loop.identity == experiment.identity());
    const nn::Call call;
    CHECK(loop.evaluate(call).front().first == "validation_loss");
    for (const char* part : {"valid", "test"}) {
      const auto [results, confusion] = task->evaluate_part(part);
      CHECK(!results.empty());
      CHECK(confusion.empty() == (experiment.task.name != "image"));
    }
    CHECK(task->conditions("valid") != task->conditions("test"));
    CHECK(task->conditions("valid").front() == std::pair<std::string, std::string>{"task", experiment.task.name});
    CHECK(task->seed_decides().starts_with("initial weights"));
    if (const auto wider = task->wider()) {   // what it is judged by is in the log
      const Metrics metrics = loop.evaluate(call);
      CHECK(std::any_of(metrics.begin(), metrics.end(),
                        [&](const auto& metric) { return metric.first == wider->objective.metric; }));
    }
    CHECK(!task->summary().empty());
    const auto [sample, units] = task->sample();
    CHECK(units > 0);
    CHECK(task->forward(sample, call).defined());
  }
}

TEST_CASE("tasks: whatever mixes tokens logs the active share of each score network's gate") {
  for (auto& own : experiments()) {
    Experiment& experiment = own.second;
    if (!model_row(experiment.model.name).mixes) continue;
    CAPTURE(experiment.model.name);
    experiment.attention.mechanism = "score_mlp";
    experiment.attention.own = mechanism("score_mlp").options();
    const std::unique_ptr<Task> task = make_task(experiment);
    TrainTask loop = task->train_task();
    Training training(loop, experiment.train, experiment.schedule, experiment.optimiser, 1);
    int64_t gates = 0;
    for (const auto& [name, value] : training.evaluate()) {
      if (!name.ends_with(".gate")) continue;
      ++gates;
      CHECK(value >= 0);   // models are small here, and a gate may be dead from the first
      CHECK(value <= 1);
    }
    CHECK(gates > 0);
  }
}

TEST_CASE("tasks: bits per byte are the nats of all tokens over the bytes of the text, whatever the tokenizer") {
  const TemporaryFolder folder;
  std::string text;
  for (int line = 0; line < 200; ++line) text += tapir::text("line ", line % 7, " has naïve words ", line % 3, "\n");
  const std::filesystem::path file = folder.write("text", text);
  for (const std::string tokens : {"word", "character", "bpe", "wordpiece"}) {
    CAPTURE(tokens);
    const int64_t max_types = tokens == "bpe" || tokens == "wordpiece" ? 300 : 0;
    Experiment experiment = experiment_of(
        tokens_of_transformer, {"data.kind=file", tapir::text("data.path=\"", file.string(), '"'), "data.tokens=" + tokens,
                                tapir::text("data.max_types=", max_types)});
    const std::unique_ptr<Task> task = make_task(experiment);
    const LanguageTask& language = dynamic_cast<LanguageTask&>(*task);
    size_t begin = 0, end = 0;
    for (int line = 0; line < 190; ++line) {
      if (line == 180) begin = end;
      end = text.find('\n', end) + 1;
    }
    const auto bytes = static_cast<double>(end - begin), tokens_there = static_cast<double>(language.corpus().valid.size());
    CHECK(language.bits_per_byte(1, "valid") == doctest::Approx(tokens_there / std::log(2.0) / bytes));
    CHECK(language.perplexity_per_word(1, "valid") == doctest::Approx(std::exp(tokens_there / (10 * 7))));
    const Metrics metrics = task->train_task().evaluate({});
    CHECK(metrics[2].first == "validation_perplexity_per_word");
    CHECK(metrics[2].second == language.perplexity_per_word(metrics[0].second, "valid"));
    CHECK(metrics[3].first == "validation_bits_per_byte");
    CHECK(metrics[3].second == language.bits_per_byte(metrics[0].second, "valid"));
    CHECK(task->wider()->conditions.back() == std::pair<std::string, std::string>{"per", "byte"});
  }
  Experiment lossy = experiment_of(tokens_of_transformer, {"data.kind=file", tapir::text("data.path=\"", file.string(), '"'),
                                                           "data.tokens=character", "data.max_types=5"});
  const std::unique_ptr<Task> task = make_task(lossy);
  CHECK(!task->wider());
  CHECK(task->train_task().evaluate({}).size() == 2);
  CHECK(task->evaluate_part("valid").results.back() == std::pair<std::string, std::string>{"bits/byte", "lossy"});
}

TEST_CASE("tasks: bits per byte compare where codes keep the same of the same text, and were trained on the same") {
  const TemporaryFolder folder;
  const auto conditions = [&](const std::string& text, const std::string& tokens, const std::string& train = "0") {
    const std::filesystem::path file = folder.write("text", text);
    Experiment experiment = experiment_of(
        tokens_of_transformer + "[data]\nkind = 'file'\nmax_types = 300\n",
        {tapir::text("data.path=\"", file.string(), '"'), "data.tokens=" + tokens, "data.train_tokens=" + train});
    Conditions all = task_row("language").make(experiment, {})->wider()->conditions;
    std::erase_if(all, [](const auto& condition) { return condition.first == "context in bytes"; });
    return all;
  };
  const auto comparable = [](const Conditions& one, const Conditions& other) {
    return incomparable({{}, one, 0}, {{}, other, 0}).empty();
  };
  std::string plain, spaced;
  for (int line = 0; line < 200; ++line) {
    plain += text("line ", line % 7, " has words ", line % 3, "\n");
    spaced += text("line  ", line % 7, " has words, ", line % 3, " \n");
  }
  for (const std::string tokens : {"word", "bpe", "wordpiece"})
    CHECK(comparable(conditions(plain, "character"), conditions(plain, tokens)));
  CHECK(comparable(conditions(spaced, "character"), conditions(spaced, "bpe")));
  for (const std::string tokens : {"word", "wordpiece"})   // they tell no spaces, and pay for none
    CHECK(!comparable(conditions(spaced, "character"), conditions(spaced, tokens)));
  CHECK(!comparable(conditions(spaced, "word"), conditions(spaced, "wordpiece")));   // "words," and "words ,"
  const std::string other = "another first line\n" + plain.substr(plain.find('\n') + 1);
  CHECK(!comparable(conditions(plain, "character"), conditions(other, "bpe")));
  CHECK(!comparable(conditions(plain, "character"), conditions(plain, "character", "500")));
}

TEST_CASE("tasks: the seed decides what a model or its mechanism leaves out at random") {
  const auto decides = [](const std::vector<std::string>& settings) {
    Experiment experiment = experiment_of(tokens_of_transformer + "[data]\nkind = 'generated'\norder = 'contiguous'\n", settings);
    return make_task(experiment)->seed_decides();
  };
  CHECK(decides({}) == "initial weights");
  CHECK(decides({"model.dropout=0.1", "model.drop_path=0.1"}) == "initial weights, dropout, drop_path");
  CHECK(decides({"attention.mechanism=associative"}) == "initial weights, write_dropout");
  CHECK(decides({"attention.mechanism=associative", "attention.write_dropout=0"}) == "initial weights");
  CHECK(decides({"attention.mechanism=associative", "attention.layer=dense"}) == "initial weights");
}

TEST_CASE("tasks: with another seed text comes in another order, unless it is contiguous") {
  const auto loss = [](const std::string& order, int64_t seed) {
    Experiment experiment = experiment_of(tokens_of_transformer + "[data]\nkind = 'generated'\ntrain_tokens = 2000\n",
                                          {"data.order=" + order, text("run.seed=", seed)});
    const std::unique_ptr<Task> task = make_task(experiment);
    task->model().initialise(1, DType::f64, Device::cpu);   // equal weights
    CHECK(contains_text(task->seed_decides(), "order of windows") == (order == "shuffled"));
    return task->train_task().loss(0, 0, 1, {}).sum.item();
  };
  CHECK(loss("shuffled", 1) == loss("shuffled", 1));
  CHECK(loss("shuffled", 1) != loss("shuffled", 2));
  CHECK(loss("contiguous", 1) == loss("contiguous", 2));
}

TEST_CASE("tasks: a batch in parts is the batch, whatever the task") {
  for (auto& [label, experiment] : experiments()) {
    const std::string& name = label;   // clang captures no structured binding
    CAPTURE(name);
    if (name == "function") dynamic_cast<FunctionOptions&>(*experiment.task.own).noise = 0.1;
    const std::unique_ptr<Task> task = make_task(experiment);
    const TrainTask loop = task->train_task();
    const LossSum whole = loop.loss(3, 0, 1, {});
    CHECK(whole.count == whole.of);
    double sum = 0;
    int64_t count = 0;
    for (const int64_t part : {0, 1}) {
      const LossSum half = loop.loss(3, part, 2, {});
      sum += half.sum.item();
      count += half.count;
      CHECK(half.of == whole.count);
    }
    CHECK(count == whole.count);
    CHECK(std::abs(sum - whole.sum.item()) <= 1e-12 * std::abs(sum));
    CHECK(loop.loss(3, 0, 1, {}).sum.item() == whole.sum.item());
    CHECK(loop.loss(4, 0, 1, {}).sum.item() != whole.sum.item());
  }
}

TEST_CASE("tasks: a model that does not fit is refused in one line when it is made") {
  const auto refused = [](const std::string& toml, const std::vector<std::string>& changes) {
    return message_of([&] {
      Experiment experiment = experiment_of(toml, changes);
      make_task(experiment);
    });
  };
  CHECK(refused(function_of_mlp, {}) == "no error");
  CHECK(refused("[task]\nname = 'function'\n", {}) ==
        "config: model.name: the task 'function' has coordinates and wants values, the model 'transformer' takes tokens and "
        "gives the "
        "next token");
  CHECK(refused("[task]\nname = 'parity'\n[model]\nname = 'mlp'\n", {}) == "parity: the model 'mlp' takes no tokens");
  CHECK(refused("[data]\nkind = 'generated'\n[model]\nname = 'mlp'\n", {}) == "language: the model 'mlp' takes no tokens");
  CHECK(refused(function_of_mlp + "[attention]\nmechanism = 'dot_product'\n", {}) ==
        "config: there is no section [attention] here: it is read where model.name = transformer or vit or care_transformer or "
        "laplacian_former or operator_transformer or series_transformer; hint: leave it out, or choose one of these");
  CHECK(contains_text(refused(function_of_mlp + "[data]\nkind = 'generated'\n", {}), "there is no section [data]"));
  CHECK(contains_text(refused(function_of_mlp, {"model.heads=2"}), "there is no key 'heads' in [model]"));
  CHECK(contains_text(refused(function_of_mlp, {"task.size=2"}), "there is no key 'size' in [task]"));
  CHECK(contains_text(refused("[model]\nname = 'mpl'\n", {}), "'mpl' is none of: transformer, mlp, implicit, vit"));
}

TEST_CASE("tasks: making one sets nothing for the process; what it computes as is set while that is wanted") {
  const Precision before = precision();
  Experiment experiment = experiment_of(function_of_mlp, {"run.dtype='f32'", "run.precision='bf16'"});
  const std::unique_ptr<Task> task = make_task(experiment);
  CHECK(precision() == before);
  {
    const ComputeAs place(experiment);
    CHECK(precision() == Precision::bf16);
    CHECK(default_device() == Device::cpu);
  }
  CHECK(precision() == before);
}

TEST_CASE("tasks: a function is learned from points; its values are those of the formula") {
  CHECK(value_of("saddle", 0.5, -0.25) == -0.125);
  CHECK(value_of("ripple", 0.3, 0.4) == std::sin(3.0));
  CHECK(value_of("peaks", 0.25, 0.5) == std::sin(1.0) * std::cos(2.0));
  Experiment experiment = experiment_of(function_of_mlp, {"task.function='saddle'", "model.width=16"});
  const std::unique_ptr<Task> task = make_task(experiment);
  TrainTask loop = task->train_task();
  const double first = loop.evaluate({}).front().second;
  nn::AdamWOptions options;
  options.decay = 0;
  nn::AdamW optimiser(task->model(), options);
  for (int64_t step = 0; step < 300; ++step) {
    const StepLoss loss = accumulate_gradients(loop, optimiser, step, 1, 1);
    apply_gradients(optimiser, 0.01, 1, loss.count);
  }
  CHECK(loop.evaluate({}).front().second < 0.1 * first);
}

TEST_CASE("tasks: shares, the likeliest classes and the calibration of images by hand") {
  ImageTask::Judged judged;
  judged.probabilities = {{0.5, 0.3, 0.2}, {0.2, 0.4, 0.4}, {0.1, 0.2, 0.7}, {0.4, 0.35, 0.25}};
  judged.labels = {0, 2, 0, 1};
  CHECK(judged.right(1) == 1);   // of two that are equally likely the first is taken
  CHECK(judged.right(2) == 3);
  CHECK(judged.right(3) == 4);
  // Bins of 1/2 …: confidences 0.5, 0.4, 0.4 with one right in (0, 0.5], 0.7 with none in (0.5, 1].
  CHECK(judged.calibration_error(2) == doctest::Approx((std::abs(1 - 1.3) + 0.7) / 4));

  const Confusion confusion = judged.confusion({"cat", "dog", "emu"});
  CHECK(confusion.counts == std::vector<std::vector<int64_t>>{{1, 0, 1}, {1, 0, 0}, {0, 1, 0}});
  CHECK(confusion.labelled(0) == 2);
  CHECK(confusion.guessed(0) == 2);
  CHECK(confusion.guessed(2) == 1);
  CHECK(confusion.mistaken_for(0) == 2);
  CHECK(confusion.mistaken_for(1) == 0);
  CHECK(confusion.mistaken_for(2) == 1);
  CHECK(Confusion{{"cat", "dog"}, {{3, 0}, {1, 1}}}.mistaken_for(0) == 0);
  CHECK(Confusion{{"cat"}, {{3}}}.mistaken_for(0) == 0);
}

TEST_CASE("tasks: images that are mixed are learned from as their shares say") {
  const auto loss = [](const std::vector<std::string>& changes) {
    Experiment experiment = experiment_of(images_of_vit, changes);
    const std::unique_ptr<Task> task = make_task(experiment);
    const auto& images = dynamic_cast<const ImageTask&>(*task);
    const ImageBatch batch = images.training().batch(2);
    const double found = task->train_task().loss(2, 0, 1, {}).sum.item();
    const Tensor logits = task->forward(
        {{"pixels", Tensor::from(batch.pixels, {4, 16, 16, 3}, Device::cpu).to(DType::f64).to(experiment.device())}}, {});
    const std::vector<double> all = logits.detach().to(DType::f64).values<double>();
    const auto classes = all.size() / 4;
    double expected = 0;   // −Σ_b Σ_c p_bc log softmax(logits_b)_c, p by hand
    for (size_t b = 0; b < 4; ++b) {
      double total = 0;
      for (size_t c = 0; c < classes; ++c) total += std::exp(all[b * classes + c]);
      const double share = batch.shares.empty() ? 1 : batch.shares[b];
      for (size_t c = 0; c < classes; ++c) {
        double p = 0.1 / static_cast<double>(classes);
        if (static_cast<size_t>(batch.labels[b]) == c) p += 0.9 * share;
        if (!batch.shares.empty() && static_cast<size_t>(batch.other_labels[b]) == c) p += 0.9 * (1 - share);
        expected -= p * (all[b * classes + c] - std::log(total));
      }
    }
    return std::pair{found, expected};
  };
  for (const std::vector<std::string>& changes : std::vector<std::vector<std::string>>{{}, {"data.mixup=0.4"}, {"data.cutmix=1"}}) {
    const auto [found, expected] = loss(changes);
    CHECK(found == doctest::Approx(expected).epsilon(1e-6));   // shares are f32
  }
}

TEST_CASE("summary: of every task, in its own units") {
  for (auto& [label, experiment] : experiments()) {
    const std::string& name = label;   // clang captures no structured binding
    CAPTURE(name);
    const ModelSummary summary = summarise(experiment);
    CHECK(summary.unit == make_task(experiment)->unit());
    CHECK(summary.total().parameters == make_task(experiment)->model().parameter_count());
    CHECK(summary.total().operations > 0);
    CHECK(summary.peak > 0);
  }
  Experiment experiment = experiment_of(function_of_mlp);
  const ModelSummary summary = summarise(experiment);
  CHECK(summary.unit == "point");
  CHECK(summary.total().operations == 2 * (2 * 8 + 8 * 8 + 8 * 1));
  CHECK(summary.units == 1);
}
