// Batches of images and the loader that makes them ahead.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>
#include <thread>

#include "datasets/image/batches.h"
#include "datasets/image/loader.h"
#include "tests/datasets/image_helpers.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

const ChannelStatistics plain{{0, 0, 0}, {1, 1, 1}};

// Image i is 2 × 2 of the bytes i, with label i mod 5.
Images numbered(int32_t count) {
  Images images{2, 2, 3, {}, {}, {}};
  for (int32_t i = 0; i < count; ++i) {
    images.pixels.insert(images.pixels.end(), 12, static_cast<uint8_t>(i));
    images.labels.push_back(i % 5);
  }
  return images;
}

AugmentOptions everything() {
  AugmentOptions options;
  options.smallest_crop = 0.3;
  options.flip = 0.5;
  options.rotation = 10;
  options.brightness = options.contrast = options.saturation = 0.4;
  options.hue = 0.1;
  options.erasing = 0.5;
  options.mixup = options.cutmix = 1;
  return options;
}

bool same(const ImageBatch& a, const ImageBatch& b) {
  return a.pixels == b.pixels && a.labels == b.labels && a.other_labels == b.other_labels && a.shares == b.shares;
}

int image_of(const ImageBatch& batch, int64_t row) {
  return static_cast<int>(std::lround(255 * batch.pixels[static_cast<size_t>(row * 12)]));
}

}  // namespace

TEST_CASE("each image once in an epoch, in an order that seed and epoch alone decide") {
  for (const int32_t count : {7, 30})
    for (const int64_t rows : {1, 4, 7}) {
      const Images images = numbered(count);
      const ImageBatches batches(images, plain, {}, 5, rows);
      REQUIRE(batches.batches_per_epoch() == count / rows);
      std::vector<int> orders[2];
      for (const int64_t epoch : {0, 1}) {
        std::map<int, int> seen;
        for (int64_t k = 0; k < batches.batches_per_epoch(); ++k) {
          const ImageBatch batch = batches.batch(epoch * batches.batches_per_epoch() + k);
          REQUIRE(std::tuple(batch.rows, batch.height, batch.width, batch.channels) == std::tuple(rows, 2, 2, 3));
          REQUIRE(batch.pixels.size() == static_cast<size_t>(rows * 12));
          for (int64_t row = 0; row < rows; ++row) {
            const int image = image_of(batch, row);
            CHECK(batch.labels[static_cast<size_t>(row)] == image % 5);
            ++seen[image];
            orders[epoch].push_back(image);
          }
        }
        CHECK(static_cast<int64_t>(seen.size()) == count / rows * rows);   // none twice
      }
      CHECK(orders[0] != orders[1]);
      CHECK(same(batches.batch(0), ImageBatches(images, plain, {}, 5, rows).batch(0)));   // whatever was asked before
    }
}

TEST_CASE("evaluation: every image in order, normalised, the last batch as short as it comes") {
  const ChannelStatistics statistics{{0.1, 0.2, 0.3}, {0.5, 0.25, 0}};
  const Images ten = numbered(10);
  const ImageEvaluationBatches batches(ten, statistics, 4);
  CHECK(batches.size() == 3);
  int32_t image = 0;
  for (int64_t k = 0; k < 3; ++k) {
    const ImageBatch batch = batches.batch(k);
    CHECK(batch.rows == (k < 2 ? 4 : 2));
    CHECK(batch.other_labels.empty());
    for (int64_t row = 0; row < batch.rows; ++row, ++image) {
      CHECK(batch.labels[static_cast<size_t>(row)] == image % 5);
      const double x = image / 255.0;
      for (size_t i = 0; i < 12; i += 3) {
        const float* const pixel = batch.pixels.data() + row * 12 + i;
        CHECK(pixel[0] == doctest::Approx((x - 0.1) / 0.5));
        CHECK(pixel[1] == doctest::Approx((x - 0.2) / 0.25));
        CHECK(pixel[2] == doctest::Approx(x - 0.3));   // a channel without a deviation
      }
    }
  }
  const Images three = numbered(3);
  const ImageBatch larger = ImageEvaluationBatches(three, plain, 3, 5).batch(0);
  CHECK(std::tuple(larger.height, larger.width) == std::tuple(5, 5));
  for (size_t i = 0; i < larger.pixels.size(); ++i)   // one colour stays one colour
    CHECK(larger.pixels[i] == doctest::Approx(static_cast<double>(i / 75) / 255).epsilon(1e-6));
}

TEST_CASE("probabilities of classes: one, shared, smoothed") {
  ImageBatch batch;
  batch.rows = 2;
  batch.labels = {1, 0};
  CHECK(target_probabilities(batch, 3) == std::vector<float>{0, 1, 0, 1, 0, 0});
  CHECK(target_probabilities(batch, 2, 0.5) == std::vector<float>{0.25f, 0.75f, 0.75f, 0.25f});
  batch.other_labels = {2, 0};
  batch.shares = {0.75f, 0.25f};
  CHECK(target_probabilities(batch, 3) == std::vector<float>{0, 0.75f, 0.25f, 1, 0, 0});
  CHECK(target_probabilities(batch, 4, 0.5) ==
        std::vector<float>{0.125f, 0.5f, 0.25f, 0.125f, 0.625f, 0.125f, 0.125f, 0.125f});
  CHECK(error_of([&] { target_probabilities(batch, 2); }) == "target_probabilities: expected labels in [0, 2), found 2");
  CHECK(error_of([&] { target_probabilities(batch, 3, 1.5); }) ==
        "target_probabilities: expected a smoothing in [0, 1], found 1.5");
}

TEST_CASE("any number of threads gives the same batches, in order, from anywhere") {
  const Images images = numbered(60);
  const ImageBatches batches(images, plain, everything(), 9, 8, 4);
  std::vector<ImageBatch> expected;
  for (int64_t k = 0; k < 20; ++k) expected.push_back(batches.batch(k));
  const auto make = [&](int64_t k) {
    std::this_thread::sleep_for(std::chrono::microseconds(k * 7919 % 500));   // so that threads overtake each other
    return batches.batch(k);
  };
  for (const int threads : {0, 1, 2, 5}) {
    ImageLoader loader(make, threads);
    for (const int64_t first : {13, 0, 4, 4, 0})
      for (int64_t k = first; k < first + 7; ++k) CHECK(same(loader.batch(k), expected[static_cast<size_t>(k)]));
  }
}

TEST_CASE("batches are made ahead, but not without end, and one that nobody takes holds nothing up") {
  std::atomic<int64_t> made = 0;
  const auto make = [&](int64_t) {
    ++made;
    return ImageBatch{};
  };
  {
    ImageLoader loader(make, 3);
    loader.batch(0);
    for (int wait = 0; wait < 1000 && made < 7; ++wait) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(made == 7);   // the one, and 2 for each thread
  }
  CHECK(made == 7);
  made = 0;
  { const ImageLoader unused(make, 2); }
  CHECK(made == 0);
  ImageLoader none(make, 0);
  none.batch(3);
  CHECK(made == 1);
}

TEST_CASE("a batch that is taken in parts is made once") {
  for (const int threads : {0, 2}) {
    std::mutex mutex;
    std::map<int64_t, int> made;
    ImageLoader loader([&](int64_t k) {
      const std::lock_guard lock(mutex);
      ++made[k];
      return ImageBatch{.rows = k, .height = 1, .width = 1, .channels = 1, .pixels = {}, .labels = {}, .other_labels = {}, .shares = {}};
    }, threads);
    for (int64_t k = 0; k < 5; ++k)
      for (int part = 0; part < 3; ++part) CHECK(loader.batch(k).rows == k);
    const std::lock_guard lock(mutex);
    for (int64_t k = 0; k < 5; ++k) CHECK(made[k] == 1);
  }
}

TEST_CASE("what making a batch throws is thrown to those who ask for it, and the loader goes on") {
  const Images images = numbered(6);
  const ImageEvaluationBatches batches(images, plain, 4);
  for (const int threads : {0, 2}) {
    ImageLoader loader([&](int64_t k) { return batches.batch(k); }, threads);
    CHECK(loader.batch(0).rows == 4);
    CHECK(loader.batch(1).rows == 2);
    for (const int64_t k : {2, 2, 7, -1})
      CHECK(error_of([&] { loader.batch(k); }) == text("batches: expected a batch number in [0, 2), found ", k));
    CHECK(loader.batch(0).rows == 4);
  }
  for (const int threads : {-1, 65})
    CHECK(error_of([&] { ImageLoader([](int64_t) { return ImageBatch{}; }, threads); }) ==
          text("loader: expected a number of threads in [0, 64], found ", threads));
}

TEST_CASE("sizes, numbers and statistics out of range") {
  const auto refused = [](int32_t count, ChannelStatistics statistics, int64_t rows, int64_t size, int64_t k) {
    const Images images = numbered(count);
    return error_of([&] { ImageBatches(images, statistics, {}, 1, rows, size).batch(k); });
  };
  const Images none = numbered(0), three = numbered(3);
  CHECK(refused(3, plain, 0, 0, 0) == "batches: expected a number of rows in [1, 2^31), found 0");
  CHECK(refused(3, plain, 2, 4097, 0) == "batches: expected a size in [0, 4096], found 4097");
  CHECK(refused(3, plain, 4, 0, 0) == "batches: 4 rows need as many images, found 3; hint: use fewer rows, or more images");
  CHECK(refused(3, plain, 3, 0, -1) == "batches: expected a batch number of at least 0, found -1");
  CHECK(refused(3, {{0, 0}, {1, 1, 1}}, 3, 0, 0) ==
        "batches: expected statistics of 3 channels, found 2 means and 3 deviations for 3 channels");
  CHECK(error_of([&] { ImageEvaluationBatches(none, plain, 1); }) == "batches: there is no image to evaluate");
  CHECK(error_of([&] { ImageEvaluationBatches(three, plain, 2).batch(2); }) ==
        "batches: expected a batch number in [0, 2), found 2");
  for (const auto mixing : {&AugmentOptions::mixup, &AugmentOptions::cutmix}) {
    AugmentOptions options;
    options.*mixing = 0.5;
    CHECK(error_of([&] { ImageBatches(three, plain, options, 1, 1); }) ==
          "batches: mixup and cutmix mix an image with another one, and there is 1 in a batch; hint: use more rows");
  }
  const std::string memory = refused(2000, plain, 2000, 4096, 0);   // 375 GiB
  CHECK(memory.starts_with("batches: needs 402653184000 bytes, and the machine has "));
  CHECK(memory.ends_with(" left; hint: use a smaller batch"));
  AugmentOptions options;
  options.flip = 2;
  CHECK(error_of([&] { ImageBatches(three, plain, options, 1, 1); }) ==
        "augment.flip: expected a number in [0, 1], found 2");
}
