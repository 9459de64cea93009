#include "attention/reproduce/tasks/segmentation.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "nn/train/finite.h"

namespace tapir {
namespace {

constexpr uint64_t evaluation_seed = site_of("segmentation");

// The likeliest class of each row of logits (…,K), the first of equals.
std::vector<int32_t> likeliest(const Tensor& logits) {
  const std::vector<double> all = logits.detach().to(DType::f64).values<double>();
  const auto classes = logits.size(-1);
  std::vector<int32_t> guesses;
  for (auto row = all.begin(); row != all.end(); row += classes)
    guesses.push_back(static_cast<int32_t>(std::max_element(row, row + classes) - row));
  return guesses;
}

// Mean of f(right, labelled, guessed) over the classes that are there or were guessed.
template <class F> double mean_over_classes(const Confusion& confusion, const F& f) {
  double sum = 0;
  int64_t there = 0;
  for (size_t k = 0; k < confusion.counts.size(); ++k) {
    const auto labelled = static_cast<double>(confusion.labelled(k)), guessed = static_cast<double>(confusion.guessed(k));
    if (labelled + guessed == 0) continue;
    sum += f(static_cast<double>(confusion.counts[k][k]), labelled, guessed);
    ++there;
  }
  return sum / static_cast<double>(there);
}

}  // namespace

SegmentationTask::SegmentationTask(Experiment& experiment)
    : Task(experiment), options_(dynamic_cast<const SegmentationOptions&>(*experiment.task.own)) {
  const RegionSpec& spec = options_.regions;
  require(spec.regions <= spec.classes, "segmentation",
          [&] { return text("each of ", spec.regions, " regions has a class of its own, and there are ", spec.classes); },
          "set task.regions or task.classes");
  make_model({.takes = Takes::image,
              .gives = Gives::pixel_classes,
              .outputs = spec.classes,
              .image = {.height = spec.size, .width = spec.size, .channels = 1}});
}

SegmentationTask::Images SegmentationTask::images(uint64_t seed, const std::string& part, int64_t first, int64_t count) const {
  const int64_t n = options_.regions.size;
  std::vector<float> pixels;
  Images all;
  for (int64_t i = first; i < first + count; ++i) {
    const RegionImage one =
        region_image(options_.regions, {.seed = seed, .step = static_cast<uint32_t>(i), .site = site_of("regions." + part)});
    pixels.insert(pixels.end(), one.pixels.begin(), one.pixels.end());
    all.labels.insert(all.labels.end(), one.labels.begin(), one.labels.end());
  }
  all.pixels = Tensor::from(pixels, {count, n, n, 1}, Device::cpu).to(experiment_.dtype()).to(experiment_.device());
  return all;
}

Tensor SegmentationTask::loss(const Tensor& logits, const Images& images) const {
  const int64_t B = logits.size(0), K = logits.size(3), N = logits.size(1) * logits.size(2);
  std::vector<double> is_class(B * N * K), shares(B * K), numbers(B * K);
  for (int64_t i = 0; i < B * N; ++i) {
    is_class[i * K + images.labels[i]] = 1;
    ++numbers[i / N * K + images.labels[i]];
  }
  for (int64_t i = 0; i < B * K; ++i) {
    const auto there = std::count_if(numbers.begin() + i / K * K, numbers.begin() + (i / K + 1) * K, [](double n) { return n > 0; });
    if (numbers[i] > 0) shares[i] = 1 / static_cast<double>(there);
  }
  const auto constant = [&](const std::vector<double>& values, const Shape& shape) {
    return Tensor::from(values, shape, Device::cpu).to(logits.dtype()).to(logits.device());
  };
  const Tensor p = softmax(reshape(logits, {B, N, K}));
  const Tensor both = sum(mul(p, constant(is_class, {B, N, K})), 1), sizes = add(sum(square(p), 1), constant(numbers, {B, K}));
  const Tensor found = sum(mul(div(both, sizes), constant(shares, {B, K})));   // Σ over images, half of the mean over classes
  const Tensor labels = Tensor::from(images.labels, {B, logits.size(1), logits.size(2)}, logits.device());
  const double dice = options_.dice;
  return add(affine(cross_entropy(logits, labels), (1 - dice) / static_cast<double>(N), 0),
             affine(found, -2 * dice, dice * static_cast<double>(B)));
}

SegmentationTask::Judged SegmentationTask::judge(const std::string& part, const nn::Call& call) const {
  const NoGrad guard;
  const int64_t K = options_.regions.classes;
  Judged judged{{.classes = {}, .counts = std::vector<std::vector<int64_t>>(K, std::vector<int64_t>(K))}, 0};
  for (int64_t first = 0; first < options_.evaluated; first += experiment_.train.batch) {
    const Images some = images(evaluation_seed, part, first, std::min(experiment_.train.batch, options_.evaluated - first));
    const Tensor found = logits(some, call);
    judged.loss += loss(found, some).item() / static_cast<double>(options_.evaluated);
    const std::vector<int32_t> guesses = likeliest(found);
    for (size_t i = 0; i < guesses.size(); ++i) ++judged.confusion.counts[some.labels[i]][guesses[i]];
  }
  require_finite("evaluate", "the loss", judged.loss);
  return judged;
}

double SegmentationTask::Judged::accuracy() const {
  int64_t right = 0, all = 0;
  for (size_t k = 0; k < confusion.counts.size(); ++k) {
    right += confusion.counts[k][k];
    all += confusion.labelled(k);
  }
  return static_cast<double>(right) / static_cast<double>(all);
}

double SegmentationTask::Judged::dice() const {
  return mean_over_classes(confusion, [](double right, double labelled, double guessed) { return 2 * right / (labelled + guessed); });
}

double SegmentationTask::Judged::iou() const {
  return mean_over_classes(confusion, [](double right, double labelled, double guessed) { return right / (labelled + guessed - right); });
}

TrainTask SegmentationTask::train_task() {
  TrainTask task{model(), {}, {}, experiment_.identity(), {"validation_dice", true}};
  task.unit = unit();
  task.loss = [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const int64_t batch = experiment_.train.batch, rows = batch / parts;
    const Images own = images(static_cast<uint64_t>(experiment_.run.seed), "train", step * batch + part * rows, rows);
    return LossSum{loss(logits(own, call), own), rows, batch};
  };
  task.first_samples = [this](const nn::Call& call) {
    logits(images(evaluation_seed, "valid", 0, std::min(logged_samples(), options_.evaluated)), call);
  };
  task.evaluate = [this](const nn::Call& call) {
    const Judged all = judge("valid", call);
    return Metrics{{"validation_loss", all.loss}, {"validation_dice", all.dice()}, {"validation_accuracy", all.accuracy()}};
  };
  return task;
}

Task::Evaluation SegmentationTask::evaluate_part(const std::string& part) {
  const Judged all = judge(part, {});
  return {{{"images", fmt::format("{}", options_.evaluated)},
           {"dice", fmt::format("{:.4f}", all.dice())},
           {"iou", fmt::format("{:.4f}", all.iou())},
           {"accuracy", fmt::format("{:.4f}", all.accuracy())},
           {"loss", fmt::format("{:.5f}", all.loss)}}};
}

Task::Results SegmentationTask::comparable(const std::string&) const {
  const RegionSpec& spec = options_.regions;
  return {{"size", fmt::format("{}", spec.size)},
          {"classes", fmt::format("{}", spec.classes)},
          {"regions", fmt::format("{}", spec.regions)},
          {"noise", fmt::format("{}", spec.noise)},
          {"dice", fmt::format("{}", options_.dice)},   // in the loss
          {"evaluated", fmt::format("{}", options_.evaluated)}};
}

std::vector<Task::ShownImage> SegmentationTask::show_images(int64_t most, const nn::Call& call) {
  const NoGrad guard;
  nn::Call unheard = call;
  unheard.recorder = nullptr;   // a report has maps of one grid, and these models have many
  const int64_t n = options_.regions.size, count = std::min({most, int64_t{2}, options_.evaluated});
  const Images some = images(evaluation_seed, "valid", 0, count);
  const std::vector<double> pixels = some.pixels.to(DType::f64).values<double>();
  const std::vector<int32_t> guesses = likeliest(logits(some, unheard));
  const auto shown = [&](const std::string& label, int64_t image, const auto& grey) {
    ShownImage one{.height = n, .width = n, .pixels = {}, .label = label, .likeliest = {}};
    for (int64_t i = image * n * n; i < (image + 1) * n * n; ++i)
      one.pixels.insert(one.pixels.end(), 3, static_cast<uint8_t>(std::lround(255 * std::clamp<double>(grey(i), 0, 1))));
    return one;
  };
  const auto last = static_cast<double>(options_.regions.classes - 1);
  std::vector<ShownImage> all;
  for (int64_t image = 0; image < count; ++image) {
    all.push_back(shown("image", image, [&](int64_t i) { return 0.5 + pixels[i] / 6; }));
    all.push_back(shown("regions, lighter where frequencies are higher", image, [&](int64_t i) { return some.labels[i] / last; }));
    all.push_back(shown("found", image, [&](int64_t i) { return guesses[i] / last; }));
  }
  return all;
}

std::pair<Batch, int64_t> SegmentationTask::sample() const {
  const int64_t n = options_.regions.size;
  return {{{"pixels", Tensor::zeros({1, n, n, 1}, experiment_.dtype(), experiment_.device())}}, 1};
}

std::string SegmentationTask::summary() const {
  const RegionSpec& spec = options_.regions;
  return fmt::format("drawn images of {0} × {0} pixels, up to {1} regions of {2} textures", spec.size, spec.regions, spec.classes);
}

TaskRow segmentation_row() {
  return {.name = "segmentation",
          .title = "the class of each pixel: regions of textures that differ in frequency",
          .options = [] { return std::make_unique<SegmentationOptions>(); },
          .make = [](Experiment& experiment, const std::filesystem::path&) -> std::unique_ptr<Task> {
            return std::make_unique<SegmentationTask>(experiment);
          }};
}

}  // namespace tapir
