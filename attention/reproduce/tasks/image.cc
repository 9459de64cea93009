#include "attention/reproduce/tasks/image.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "attention/reproduce/program/statistics.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "datasets/image/resize.h"
#include "nn/files/atomic_file.h"
#include "nn/train/finite.h"
#include "tensor/sha256.h"
#include "tensor/threads.h"

namespace tapir {

void ImageDataOptions::fields(nn::FieldVisitor& visit) {
  std::string path = spec.path.string();
  visit("kind", spec.kind, "the images",
        {"cifar-10", "cifar-100", "folder", "synthetic-shapes", "synthetic-textures", "synthetic-triangle"});
  visit("path", path,
        "of the kind \"folder\": a folder with a folder of PNG and JPEG files for each class, or with train, test and perhaps "
        "valid, which have those; of CIFAR: the folder or .tar.gz of the official files, where it is not below TAPIR_DATA",
        {});
  visit("size", spec.size, "height and width of images of a folder, or synthetic ones; 0: 32, of synthetic-triangle 64",
        nn::between(0, 1024));
  visit("resize", resize, "height and width that the model gets; 0: those of the images", nn::between(0, 4096));
  visit("train_images", spec.limits.train, "images of the training part that are used; 0: all", nn::between(0, 1e9));
  visit("valid_images", spec.limits.valid, "of the validation part", nn::between(0, 1e9));
  visit("test_images", spec.limits.test, "of the test part", nn::between(0, 1e9));
  visit("crop_padding", augment.crop_padding, "training crops are taken from the image with so many black pixels around it",
        nn::between(0, 1024));
  visit("smallest_crop", augment.smallest_crop, "training crops have a share of the area from this one on, resized; 1: none",
        nn::between(0.01, 1));
  visit("flip", augment.flip, "probability that left and right change places", nn::between(0, 1));
  visit("rotation", augment.rotation, "degrees by which images are turned at most, either way", nn::between(0, 180));
  visit("brightness", augment.brightness, "most that brightness changes, as a share", nn::between(0, 1));
  visit("contrast", augment.contrast, "of the contrast", nn::between(0, 1));
  visit("saturation", augment.saturation, "of the saturation", nn::between(0, 1));
  visit("hue", augment.hue, "most that hues turn, of the whole circle", nn::between(0, 0.5));
  visit("erasing", augment.erasing, "probability that a rectangle becomes the mean colour", nn::between(0, 1));
  visit("mixup", augment.mixup, "α of the Beta distribution of shares in which two images are mixed; 0: none",
        nn::between(0, 1));
  visit("cutmix", augment.cutmix, "α of the shares of which a rectangle is another image's; 0: none", nn::between(0, 1));
  spec.path = path;
}

ImageTask::ImageTask(Experiment& experiment, std::optional<ImageDescription> description)
    : Task(experiment), options_(dynamic_cast<const ImageTaskOptions&>(*experiment.task.own)) {
  if (description) description_ = std::move(*description);
  else description_ = set_.emplace(read_images(data().spec)).description;
  make_model({.takes = Takes::image,
              .gives = Gives::classes,
              .outputs = static_cast<int64_t>(description_.classes.size()),
              .image = shape()});
}

const ImageDataOptions& ImageTask::data() const { return dynamic_cast<const ImageDataOptions&>(*experiment_.task.data); }

nn::ImageShape ImageTask::shape() const {
  const int64_t resized = data().resize;
  return {resized ? resized : description_.height, resized ? resized : description_.width, description_.channels};
}

const ImageSet& ImageTask::set() const {
  if (set_) return *set_;
  const std::filesystem::path& path = data().spec.path;
  std::error_code ignored;
  require(path.empty() || std::filesystem::exists(path, ignored), "config: data.path",
          [&] { return text("there is no ", path.string(), ", the images that the run needs"); },
          "`tapir eval --data PATH` and `tapir train --resume RUN --set data.path=PATH` find them elsewhere");
  return set_.emplace(read_images(data().spec, &description_));
}

const Images& ImageTask::images(const std::string& part) const {
  return part == "train" ? set().train : part == "valid" ? set().valid : set().test;
}

Tensor ImageTask::pixels(const ImageBatch& batch, int64_t begin, int64_t rows) const {
  const int64_t each = batch.height * batch.width * batch.channels;
  const std::span<const float> part(batch.pixels.data() + begin * each, rows * each);
  return Tensor::from<float>(part, {rows, batch.height, batch.width, batch.channels}, experiment_.device())
      .to(experiment_.dtype());
}

const ImageBatches& ImageTask::training() const {
  if (training_) return *training_;
  return training_.emplace(images("train"), description_.statistics, data().augment, static_cast<uint64_t>(experiment_.run.seed),
                           experiment_.train.batch, data().resize);
}

TrainTask ImageTask::train_task() {
  // While a device computes, this machine's threads have nothing else to do.
  const int loading = experiment_.device() == Device::cpu ? 1 : std::min(threads(), 16);
  loader_.emplace([&batches = training()](int64_t k) { return batches.batch(k); }, loading);
  const auto classes = static_cast<int64_t>(description_.classes.size());
  const auto loss = [this, classes](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const ImageBatch& batch = loader_->batch(step);
    const int64_t rows = batch.rows / parts, begin = part * rows;
    const Tensor logits = forward({{"pixels", pixels(batch, begin, rows)}}, call);
    const auto placed = [&](const auto& values, const Shape& own) {
      using T = typename std::decay_t<decltype(values)>::value_type;
      const int64_t each = own.elements() / rows;
      return Tensor::from<T>(std::span<const T>(values.data() + begin * each, rows * each), own, experiment_.device());
    };
    if (batch.shares.empty()) {
      const CrossEntropyOptions smoothed{.label_smoothing = options_.label_smoothing};
      return LossSum{cross_entropy(logits, placed(batch.labels, {rows}), smoothed), rows, batch.rows};
    }
    const Tensor targets = placed(target_probabilities(batch, classes, options_.label_smoothing), {rows, classes});
    return LossSum{affine(sum(mul(targets.to(logits.dtype()), log_softmax(logits))), -1, 0), rows, batch.rows};
  };
  const auto evaluate = [this, classes](const nn::Call&) {
    const Judged all = judge("valid");
    const auto share = [&](int64_t right) { return static_cast<double>(right) / static_cast<double>(all.labels.size()); };
    Metrics metrics{{"validation_loss", all.loss}, {"validation_accuracy", share(all.right(1))}};
    if (classes > 5) metrics.emplace_back("validation_top5", share(all.right(5)));
    return metrics;
  };
  TrainTask task{model(), loss, evaluate, experiment_.identity(), {"validation_accuracy", true}};
  task.unit = unit();
  task.first_samples = [this](const nn::Call& call) { logits(first_images(logged_samples()), call); };
  task.show = [this](const nn::Call& call) {
    const NoGrad guard;
    std::vector<std::string> tokens;
    nn::Call own = call;
    own.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
      if (name == "grid") {
        const std::vector<int32_t> grid = value.values<int32_t>();   // class tokens, rows, columns
        for (int32_t k = 0; k < grid[0]; ++k) tokens.emplace_back("class");
        for (int32_t row = 0; row < grid[1]; ++row)
          for (int32_t column = 0; column < grid[2]; ++column) tokens.push_back(fmt::format("{}, {}", row + 1, column + 1));
      } else if (call.recorder) {
        call.recorder(path, name, value);
      }
    };
    logits(first_images(1), own);
    return tokens;
  };
  return task;
}

Tensor ImageTask::logits(const ImageBatch& batch, const nn::Call& call) const {
  return forward({{"pixels", pixels(batch, 0, batch.rows)}}, call);
}

ImageBatch ImageTask::first_images(int64_t rows) const {
  return ImageEvaluationBatches(images("valid"), description_.statistics, rows, data().resize).batch(0);
}

std::vector<Task::ShownImage> ImageTask::show_images(int64_t most, const nn::Call& call) {
  const NoGrad guard;
  const ImageBatch batch = first_images(most);
  const Tensor probabilities = softmax(logits(batch, call).to(DType::f64));
  require_finite("report", "the probabilities", probabilities);
  const std::vector<double> all = probabilities.values<double>();
  const std::vector<std::string>& classes = description_.classes;
  std::vector<ShownImage> shown;
  for (int64_t row = 0; row < batch.rows; ++row) {
    const std::span<const uint8_t> bytes = images("valid").image(row);
    ShownImage one{.height = description_.height,
                   .width = description_.width,
                   .pixels = {bytes.begin(), bytes.end()},
                   .label = classes[batch.labels[row]],
                   .likeliest = {}};
    for (size_t k = 0; k < classes.size(); ++k) one.likeliest.emplace_back(classes[k], all[row * classes.size() + k]);
    std::stable_sort(one.likeliest.begin(), one.likeliest.end(), [](auto& a, auto& b) { return a.second > b.second; });
    one.likeliest.resize(std::min<size_t>(classes.size(), 3));
    shown.push_back(std::move(one));
  }
  return shown;
}

std::vector<double> ImageTask::predict(const DecodedImage& image) const {
  const NoGrad guard;
  require(description_.height == description_.width, "predict", [&] {
    return text("images of ", description_.height, " × ", description_.width, " were learned, and only squares are cut out");
  });
  const Images one{.height = description_.height,
                   .width = description_.width,
                   .channels = description_.channels,
                   .pixels = fit_square(image, description_.height),
                   .labels = {0},
                   .coarse_labels = {}};
  const ImageEvaluationBatches batches(one, description_.statistics, 1, data().resize);
  const Tensor probabilities = softmax(logits(batches.batch(0)).to(DType::f64));
  require_finite("predict", "the probabilities", probabilities);
  return probabilities.values<double>();
}

ImageTask::Judged ImageTask::judge(const std::string& part) {
  const NoGrad guard;
  const ImageEvaluationBatches batches(images(part), description_.statistics, experiment_.train.batch, data().resize);
  Judged judged;
  for (int64_t k = 0; k < batches.size(); ++k) {
    const ImageBatch batch = batches.batch(k);
    const Tensor own = logits(batch);
    judged.loss += cross_entropy(own, Tensor::from(batch.labels, {batch.rows}, experiment_.device())).item();
    const std::vector<double> all = softmax(own.to(DType::f64)).values<double>();
    const auto classes = static_cast<int64_t>(all.size()) / batch.rows;
    for (int64_t row = 0; row < batch.rows; ++row)
      judged.probabilities.emplace_back(all.begin() + row * classes, all.begin() + (row + 1) * classes);
    judged.labels.insert(judged.labels.end(), batch.labels.begin(), batch.labels.end());
  }
  judged.loss /= static_cast<double>(judged.labels.size());
  require_finite("evaluate", "the loss", judged.loss);
  return judged;
}

int64_t ImageTask::Judged::right(int64_t among) const {
  int64_t count = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    const std::vector<double>& own = probabilities[i];
    const double of_label = own[labels[i]];
    // Of classes that are equally likely the first comes first, as in argmax.
    const auto before = std::count_if(own.begin(), own.begin() + labels[i], [&](double p) { return p >= of_label; }) +
                        std::count_if(own.begin() + labels[i], own.end(), [&](double p) { return p > of_label; });
    count += before < among;
  }
  return count;
}

double ImageTask::Judged::calibration_error(int64_t bins) const {
  std::vector<double> confidence(bins), right(bins);
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto likeliest = std::max_element(probabilities[i].begin(), probabilities[i].end());
    const int64_t bin = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(*likeliest * static_cast<double>(bins))) - 1, 0, bins - 1);
    confidence[bin] += *likeliest;
    right[bin] += likeliest - probabilities[i].begin() == labels[i];
  }
  double error = 0;
  for (int64_t bin = 0; bin < bins; ++bin) error += std::abs(right[bin] - confidence[bin]);
  return error / static_cast<double>(labels.size());
}

Confusion ImageTask::Judged::confusion(const std::vector<std::string>& classes) const {
  Confusion all{classes, std::vector<std::vector<int64_t>>(classes.size(), std::vector<int64_t>(classes.size()))};
  for (size_t i = 0; i < labels.size(); ++i) {
    const std::vector<double>& own = probabilities[i];
    ++all.counts[labels[i]][std::max_element(own.begin(), own.end()) - own.begin()];
  }
  return all;
}

Task::Evaluation ImageTask::evaluate_part(const std::string& part) {
  const Judged all = judge(part);
  const auto images = static_cast<int64_t>(all.labels.size());
  const auto share = [&](int64_t right) { return fmt::format("{:.4f}", static_cast<double>(right) / static_cast<double>(images)); };
  Results results{{"images", fmt::format("{}", images)},
                  {"accuracy", share(all.right(1))},
                  {"95 %", ends_of(wilson(all.right(1), images))}};
  if (description_.classes.size() > 5)
    results.insert(results.end(), {{"top 5", share(all.right(5))}, {"top 5 95 %", ends_of(wilson(all.right(5), images))}});
  results.insert(results.end(), {{"nats", fmt::format("{:.5f}", all.loss)},
                                 {"calibration", fmt::format("{:.4f}", all.calibration_error())}});
  return {std::move(results), all.confusion(description_.classes)};
}

Task::Results ImageTask::comparable(const std::string& part) const {
  return {{"data", data().spec.kind},
          {"images", fmt::format("{} sha256 {}", images(part).size(), digest_of(images(part)).substr(0, 12))},
          {"classes", fmt::format("{}", description_.classes.size())}};
}

std::string ImageTask::all(const std::string&) const { return data().spec.kind == "folder" ? text(set().found, " images") : ""; }

std::string ImageTask::drawn() const {
  return data().augment == AugmentOptions{} ? "order of images" : "order and augmentation of images";
}

std::pair<Batch, int64_t> ImageTask::sample() const {
  const nn::ImageShape own = shape();
  return {{{"pixels", Tensor::zeros({1, own.height, own.width, own.channels}, experiment_.dtype(), experiment_.device())}}, 1};
}

std::string ImageTask::summary() const {
  const int64_t images = set().train.size();
  return fmt::format("{} classes, {} training images of {} × {}, {} steps an epoch", description_.classes.size(), images,
                     description_.height, description_.width, images / experiment_.train.batch);
}

void ImageTask::save(const std::filesystem::path& folder) const {
  write_atomically(folder / images_file, description_text(description_));
}

Task::Digests ImageTask::digests(const std::vector<std::string>& parts) const {
  Digests digests{{"images", sha256_hex(description_text(description_))}};
  for (const std::string& part : parts) digests.emplace_back(part, digest_of(images(part)));
  return digests;
}

TaskRow image_row() {
  return {.name = "image",
          .title = "the class of each image of [data]",
          .options = [] { return std::make_unique<ImageTaskOptions>(); },
          .data = [] { return std::make_unique<ImageDataOptions>(); },
          .own_data =
              [](const std::filesystem::path& place, const std::filesystem::path& run) {
                const ImageDescription learned = load_description(run / images_file);
                const std::string kind = kind_at(place, static_cast<int64_t>(learned.classes.size()));
                return std::vector<std::string>{"data.kind=" + kind, text("data.size=", kind == "folder" ? learned.height : 0)};
              },
          .make = [](Experiment& experiment, const std::filesystem::path& trained) -> std::unique_ptr<Task> {
            return std::make_unique<ImageTask>(
                experiment, trained.empty() ? std::optional<ImageDescription>() : load_description(trained / images_file));
          }};
}

}  // namespace tapir
