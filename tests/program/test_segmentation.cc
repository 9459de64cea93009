// Segmentation: the loss and the counts by hand, what a step draws, and a network that learns in a moment.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <cmath>

#include "attention/reproduce/tasks/segmentation.h"
#include "nn/train/trainer.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/messages.h"

using namespace tapir;
using testing::TemporaryFolder;
using Values = std::vector<double>;

namespace {

const std::string of_former =
    "[task]\nname = 'segmentation'\nsize = 8\nclasses = 4\nregions = 3\nevaluated = 5\n[model]\nname = 'laplacian_former'\nstride = 2\n"
    "widths = [4, 8]\ndepths = [1, 1]\n[attention]\nmechanism = 'laplacian'\n[train]\nbatch = 4\n[run]\ndtype = 'f64'\n";

Experiment experiment_of(const std::string& toml, const std::vector<std::string>& assignments = {}) {
  const TemporaryFolder folder;
  return read_experiment(folder.write("test.toml", toml), assignments);
}

constexpr int64_t n = 8, K = 4, N = n * n;
const RegionSpec spec{.size = n, .classes = K, .regions = 3};

RegionImage image_of(uint64_t seed, const std::string& part, int64_t index) {
  return region_image(spec, {.seed = seed, .step = static_cast<uint32_t>(index), .site = site_of("regions." + part)});
}

Values logits_of(Task& task, const RegionImage& image) {
  return task.forward({{"pixels", Tensor::from(image.pixels, {1, n, n, 1}, Device::cpu).to(DType::f64)}}, {}).values<double>();
}

double loss_of(const Values& logits, const std::vector<int32_t>& labels, double dice) {
  Values p(logits.size());
  double cross = 0, found = 0;
  for (int64_t i = 0; i < N; ++i) {
    double total = 0;
    for (int64_t k = 0; k < K; ++k) total += std::exp(logits[i * K + k]);
    for (int64_t k = 0; k < K; ++k) p[i * K + k] = std::exp(logits[i * K + k]) / total;
    cross -= std::log(p[i * K + labels[i]]) / N;
  }
  int64_t classes = 0;
  for (int32_t k = 0; k < K; ++k) {
    double both = 0, sizes = 0;
    bool there = false;
    for (int64_t i = 0; i < N; ++i) {
      sizes += p[i * K + k] * p[i * K + k] + (labels[i] == k);
      if (labels[i] == k) both += p[i * K + k], there = true;
    }
    if (!there) continue;
    found += 2 * both / sizes;
    ++classes;
  }
  return (1 - dice) * cross + dice * (1 - found / static_cast<double>(classes));
}

}  // namespace

TEST_CASE("segmentation: the loss of a step, by hand, of images that the seed draws, none twice") {
  for (const double dice : {0.0, 0.6, 1.0}) {
    Experiment experiment = experiment_of(of_former, {"run.seed=3", text("task.dice=", dice)});
    const std::unique_ptr<Task> task = make_task(experiment);
    const TrainTask loop = task->train_task();
    for (const int64_t step : {0, 7}) {
      double expected = 0;
      for (int64_t b = 0; b < 4; ++b) {
        const RegionImage image = image_of(3, "train", step * 4 + b);
        expected += loss_of(logits_of(*task, image), image.labels, dice);
      }
      const LossSum loss = loop.loss(step, 0, 1, {});
      CHECK(loss.sum.item() == doctest::Approx(expected).epsilon(1e-12));
      CHECK((loss.count == 4 && loss.of == 4));
    }
  }
}

TEST_CASE("segmentation: judged by counts of pixels over a part, whatever the batch and the seed") {
  for (const std::vector<std::string>& changes : {std::vector<std::string>{"run.seed=2"}, {"run.seed=2", "train.batch=2"}}) {
    Experiment experiment = experiment_of(of_former, changes);
    const std::unique_ptr<Task> task = make_task(experiment);
    const auto& own = dynamic_cast<const SegmentationTask&>(*task);
    for (const std::string part : {"valid", "test"}) {
      std::vector<std::vector<int64_t>> counts(K, std::vector<int64_t>(K));
      double loss = 0;
      for (int64_t i = 0; i < 5; ++i) {
        const RegionImage image = image_of(site_of("segmentation"), part, i);
        const Values logits = logits_of(*task, image);
        loss += loss_of(logits, image.labels, 0.6) / 5;
        for (int64_t j = 0; j < N; ++j) {
          int64_t best = 0;
          for (int64_t k = 1; k < K; ++k)
            if (logits[j * K + k] > logits[j * K + best]) best = k;
          ++counts[image.labels[j]][best];
        }
      }
      const SegmentationTask::Judged judged = own.judge(part, {});
      CHECK(judged.confusion.counts == counts);
      CHECK(judged.loss == doctest::Approx(loss).epsilon(1e-12));
      const Task::Results results = task->evaluate_part(part).results;
      CHECK(results.front() == std::pair<std::string, std::string>{"images", "5"});
      CHECK(results[1].first == "dice");
      CHECK(results[1].second == fmt::format("{:.4f}", judged.dice()));
    }
    const Metrics metrics = task->train_task().evaluate({});
    CHECK(metrics[1] == std::pair<std::string, double>{"validation_dice", own.judge("valid", {}).dice()});
    CHECK(metrics[2] == std::pair<std::string, double>{"validation_accuracy", own.judge("valid", {}).accuracy()});
  }
}

TEST_CASE("segmentation: Dice, its Jaccard index and the accuracy by hand; a class that is nowhere has no say") {
  const SegmentationTask::Judged judged{{.classes = {}, .counts = {{6, 2, 0}, {1, 3, 0}, {0, 0, 0}}}, 0};
  CHECK(judged.accuracy() == doctest::Approx(9.0 / 12));
  CHECK(judged.dice() == doctest::Approx((12.0 / 15 + 6.0 / 9) / 2));
  CHECK(judged.iou() == doctest::Approx((6.0 / 9 + 3.0 / 6) / 2));
}

TEST_CASE("segmentation: a report has an image, its regions and those that were found") {
  Experiment experiment = experiment_of(of_former);
  const std::unique_ptr<Task> task = make_task(experiment);
  const std::vector<Task::ShownImage> shown = task->show_images(8, {});
  REQUIRE(shown.size() == 6);
  const RegionImage image = image_of(site_of("segmentation"), "valid", 0);
  for (int64_t i = 0; i < N; ++i) {
    CHECK(shown[1].pixels[3 * i] == std::lround(255.0 * image.labels[i] / 3));
    CHECK(shown[0].pixels[3 * i] == std::lround(255 * std::clamp(0.5 + image.pixels[i] / 6.0, 0.0, 1.0)));
  }
  CHECK((shown[2].height == n && shown[2].pixels.size() == 3 * N && shown[2].label == "found"));
}

TEST_CASE("segmentation: the network learns two textures") {
  Experiment experiment = experiment_of(of_former, {"task.size=16", "task.classes=2", "task.regions=2", "task.noise=0", "task.evaluated=20",
                                                    "train.batch=8", "run.dtype='f32'", "model.widths=[8, 16]"});
  const std::unique_ptr<Task> task = make_task(experiment);
  TrainTask loop = task->train_task();
  nn::AdamW optimiser(task->model(), {});
  for (int64_t step = 0; step < 120; ++step) {
    const StepLoss loss = accumulate_gradients(loop, optimiser, step, 1, 1);
    apply_gradients(optimiser, 0.005, 1, loss.count);
  }
  CHECK(loop.evaluate({})[2].second > 0.8);   // the accuracy
}

TEST_CASE("segmentation: losses of another share of Dice are not compared") {
  const auto conditions = [](const std::string& dice) {
    Experiment experiment = experiment_of(of_former, {"task.dice=" + dice});
    return make_task(experiment)->conditions("valid");
  };
  CHECK(conditions("0.5") == conditions("0.5"));
  CHECK(conditions("0.5") != conditions("0.6"));
}

TEST_CASE("segmentation: what does not fit is refused in one line") {
  const auto refused = [](const std::string& toml, const std::vector<std::string>& changes) {
    return message_of([&] {
      Experiment experiment = experiment_of(toml, changes);
      make_task(experiment);
    });
  };
  CHECK(refused(of_former, {}) == "no error");
  CHECK(refused(of_former, {"task.regions=5"}) ==
        "segmentation: each of 5 regions has a class of its own, and there are 4; hint: set task.regions or task.classes");
  CHECK(refused(of_former, {"task.size=10"}) ==
        "laplacian former: images of 10 × 10 are not tiled by squares of 4 pixels, the cells of the last stage; hint: choose another "
        "model.stride, fewer model.widths, or another size of the images");
  CHECK(refused("[task]\nname = 'segmentation'\n[model]\nname = 'vit'\n", {}) ==
        "config: model.name: the task 'segmentation' has images and wants classes of pixels, the model 'vit' takes images and gives "
        "classes");
}
