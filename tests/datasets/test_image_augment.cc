// Augmented batches and resized images against float64 computations of tests/golden/images.py, which draws the same random
// numbers from a Philox of its own; every refusal.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "datasets/image/batches.h"
#include "datasets/image/colour.h"
#include "tests/datasets/image_helpers.h"
#include "tests/golden_file.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

using nlohmann::json;

// The pixels of `synthetic` in the script.
std::vector<uint8_t> hashed_bytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t n = 0; n < count; ++n) bytes[n] = static_cast<uint8_t>(static_cast<uint32_t>((n + 1) * 2654435761u) >> 24);
  return bytes;
}

Images hashed_images() {
  Images images{12, 10, 3, hashed_bytes(9 * 360), {}, {}};
  for (size_t i = 3 * 360; i < 4 * 360; i += 3) images.pixels[i + 1] = images.pixels[i + 2] = images.pixels[i];
  for (int32_t i = 0; i < 9; ++i) images.labels.push_back(i);
  return images;
}

AugmentOptions options_of(const json& entry) {
  AugmentOptions options;
  const std::map<std::string, double*> fields{
      {"smallest_crop", &options.smallest_crop}, {"flip", &options.flip},         {"rotation", &options.rotation},
      {"brightness", &options.brightness},       {"contrast", &options.contrast}, {"saturation", &options.saturation},
      {"hue", &options.hue},                     {"erasing", &options.erasing},   {"mixup", &options.mixup},
      {"cutmix", &options.cutmix}};
  for (const auto& [name, value] : entry.items()) {
    if (name == "crop_padding") {
      options.crop_padding = value;
    } else {
      *fields.at(name) = value;
    }
  }
  return options;
}

template <class Values>
double largest_difference(const Values& found, const json& expected) {
  REQUIRE(found.size() == expected.size());
  double largest = 0;
  for (size_t i = 0; i < found.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(found[i]) - expected[i].get<double>()));
  return largest;
}

}  // namespace

TEST_CASE("each augmentation, and all of them together: what a separate program makes of the same random numbers") {
  const Images images = hashed_images();
  const ChannelStatistics statistics{{0.4, 0.5, 0.6}, {0.25, 0.2, 0.3}};
  const json golden = golden_file("images.json");
  CHECK(golden.at("augmentations").size() == 42);
  for (const json& entry : golden.at("augmentations")) {
    CAPTURE(entry.at("options").dump());
    CAPTURE(entry.at("k").get<int64_t>());
    const ImageBatches batches(images, statistics, options_of(entry.at("options")), entry.at("seed"), 4, entry.at("size"));
    CHECK(batches.batches_per_epoch() == 2);
    const ImageBatch batch = batches.batch(entry.at("k"));
    CHECK(batch.labels == entry.at("chosen").get<std::vector<int32_t>>());
    CHECK(batch.other_labels == entry.at("others").get<std::vector<int32_t>>());
    CHECK(largest_difference(batch.shares, entry.at("shares")) < 1e-7);
    CHECK(largest_difference(batch.pixels, entry.at("pixels")) < 5e-6);
  }
}

TEST_CASE("sizes change as PyTorch changes them, antialiased") {
  FloatImage image(11, 14, 3);
  const std::vector<uint8_t> bytes = hashed_bytes(image.values.size());
  std::copy(bytes.begin(), bytes.end(), image.values.begin());
  const json golden = golden_file("images.json");
  CHECK(golden.at("sizes").size() == 15);
  for (const json& entry : golden.at("sizes")) {
    const json &box = entry.at("box"), &size = entry.at("size");
    CAPTURE(box.dump());
    CAPTURE(size.dump());
    const FloatImage made = resized(image, {box[0], box[1], box[2], box[3]}, size[0], size[1]);
    CHECK(largest_difference(made.values, entry.at("values")) < 1e-4);   // of 255
  }
}

TEST_CASE("a whole image of bytes is resized as one of numbers, and rounded") {
  const std::vector<uint8_t> bytes = hashed_bytes(11 * 14 * 3);
  FloatImage image(11, 14, 3);
  std::copy(bytes.begin(), bytes.end(), image.values.begin());
  const DecodedImage made = resized(DecodedImage{11, 14, bytes}, 5, 9);
  CHECK(std::pair(made.height, made.width) == std::pair<int64_t, int64_t>(5, 9));
  const std::vector<float> expected = resized(image, {0, 0, 11, 14}, 5, 9).values;
  REQUIRE(made.pixels.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) CHECK(std::abs(static_cast<float>(made.pixels[i]) - expected[i]) <= 0.5f);
}

TEST_CASE("without augmentation a batch is its images; a colour that is kept is kept") {
  const Images images = hashed_images();
  const ImageBatches batches(images, {{0, 0, 0}, {1, 1, 1}}, {}, 3, 9);
  const ImageBatch batch = batches.batch(5);
  CHECK(batch.other_labels.empty());
  CHECK(batch.shares.empty());
  for (size_t row = 0; row < 9; ++row)
    for (size_t i = 0; i < 360; ++i)
      CHECK(batch.pixels[row * 360 + i] == static_cast<float>(images.image(batch.labels[row])[i]) / 255);

  FloatImage image(12, 10, 3);
  std::copy_n(batch.pixels.begin(), 360, image.values.begin());
  const std::vector<float> before = image.values;
  adjust_brightness(image, 1);
  adjust_contrast(image, 1);
  adjust_saturation(image, 1);
  CHECK(image.values == before);
  adjust_hue(image, 0);
  for (size_t i = 0; i < before.size(); ++i) CHECK(std::abs(image.values[i] - before[i]) < 1e-6f);
  adjust_saturation(image, 0);
  for (size_t i = 0; i < before.size(); i += 3)
    CHECK((image.values[i] == image.values[i + 1] && image.values[i] == image.values[i + 2]));
}

TEST_CASE("an image's draws do not depend on the other options' images, rows or history, and differ between epochs and seeds") {
  AugmentOptions options;
  options.crop_padding = 4;
  options.flip = 0.5;
  const auto pixels_of = [&](const ImageBatches& batches, int64_t epoch, int32_t image) {
    for (int64_t k = 0; k < batches.batches_per_epoch(); ++k) {
      const ImageBatch batch = batches.batch(epoch * batches.batches_per_epoch() + k);
      for (int64_t row = 0; row < batch.rows; ++row)
        if (batch.labels[static_cast<size_t>(row)] == image)
          return std::vector<float>(batch.pixels.begin() + row * 360, batch.pixels.begin() + (row + 1) * 360);
    }
    return std::vector<float>{};
  };
  const ChannelStatistics plain{{0, 0, 0}, {1, 1, 1}};
  const Images images = hashed_images();
  const ImageBatches three(images, plain, options, 7, 3), nine(images, plain, options, 7, 9), other(images, plain, options, 8, 3);
  int differ = 0, differ_by_seed = 0;
  for (int32_t image = 0; image < 9; ++image) {
    for (const int64_t epoch : {0, 1, 0}) CHECK(pixels_of(three, epoch, image) == pixels_of(nine, epoch, image));
    differ += pixels_of(three, 0, image) != pixels_of(three, 1, image);
    differ_by_seed += pixels_of(three, 0, image) != pixels_of(other, 0, image);
  }
  CHECK(differ >= 7);
  CHECK(differ_by_seed >= 7);
}

TEST_CASE("where no crop fits, it is the largest one in the middle with a ratio in [3/4, 4/3]") {
  AugmentOptions options;
  options.smallest_crop = 0.999;
  const auto drawn = [&](int64_t height, int64_t width) {
    Draws draws({.seed = 1, .step = 0, .site = 2}, 0);
    const Box box = draw_augmentation(options, height, width, 8, 8, draws).crop;
    return std::tuple(box.top, box.left, box.height, box.width);
  };
  CHECK(drawn(10, 40) == std::tuple(0, 13, 10, 13));
  CHECK(drawn(40, 10) == std::tuple(13, 0, 13, 10));
}

TEST_CASE("what is drawn is distributed as it should be: crops, flips, shares of mixup") {
  AugmentOptions options;
  options.crop_padding = 2;
  options.flip = 0.25;
  options.mixup = 0.3;
  constexpr int count = 20'000;
  int64_t flips = 0, places[5] = {};
  double sum = 0, squares = 0;
  for (uint64_t sample = 0; sample < count; ++sample) {
    Draws draws({.seed = 1, .step = 0, .site = 2}, sample << 32);
    const Augmentation drawn = draw_augmentation(options, 32, 32, 32, 32, draws);
    flips += drawn.is_flipped;
    REQUIRE(std::abs(drawn.crop.top) <= 2);
    ++places[drawn.crop.left + 2];
    REQUIRE((drawn.share >= 0 && drawn.share <= 1));
    sum += drawn.share;
    squares += drawn.share * drawn.share;
  }
  // Within 4 standard deviations of the binomials, of the mean 1/2, and of E λ² = (α + 1) / (4 α + 2).
  CHECK(std::abs(static_cast<double>(flips) - 0.25 * count) < 4 * std::sqrt(count * 0.25 * 0.75));
  for (const int64_t place : places)
    CHECK(std::abs(static_cast<double>(place) - 0.2 * count) < 4 * std::sqrt(count * 0.2 * 0.8));
  const double variance = 1 / (4 * (2 * 0.3 + 1));
  CHECK(std::abs(sum / count - 0.5) < 4 * std::sqrt(variance / count));
  CHECK(std::abs(squares / count - 1.3 / 3.2) < 4 * 0.5 / std::sqrt(count));   // λ² is within [0, 1]
}

TEST_CASE("options out of range are refused by name") {
  const auto refused = [](auto AugmentOptions::*field, auto value) {
    AugmentOptions options;
    options.*field = value;
    return error_of([&] { require_valid(options); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refused(&AugmentOptions::crop_padding, -1) == "augment.crop_padding: expected a number in [0, 1024], found -1");
  CHECK(refused(&AugmentOptions::crop_padding, 1025) != "");
  CHECK(refused(&AugmentOptions::smallest_crop, 0.0) == "augment.smallest_crop: expected a number in [0.01, 1], found 0");
  CHECK(refused(&AugmentOptions::flip, 1.5) == "augment.flip: expected a number in [0, 1], found 1.5");
  CHECK(refused(&AugmentOptions::rotation, 181.0) == "augment.rotation: expected a number in [0, 180], found 181");
  for (const auto field : {&AugmentOptions::brightness, &AugmentOptions::contrast, &AugmentOptions::saturation})
    CHECK(refused(field, -0.1).ends_with(": expected a number in [0, 10], found -0.1"));
  CHECK(refused(&AugmentOptions::hue, 0.6) == "augment.hue: expected a number in [0, 0.5], found 0.6");
  CHECK(refused(&AugmentOptions::erasing, nan) == "augment.erasing: expected a number in [0, 1], found nan");
  CHECK(refused(&AugmentOptions::mixup, 2.0) == "augment.mixup: expected a number in [0.01, 1], found 2");
  CHECK(refused(&AugmentOptions::cutmix, 0.001) == "augment.cutmix: expected a number in [0.01, 1], found 0.001");
  AugmentOptions crops;
  crops.crop_padding = 4;
  crops.smallest_crop = 0.5;
  CHECK(error_of([&] { require_valid(crops); }) == "augment: an image has one crop, found crop_padding and smallest_crop");
}
