#include "datasets/image/batches.h"

#include <algorithm>
#include <span>
#include <utility>

#include "datasets/draws.h"
#include "tensor/available_memory.h"
#include "tensor/error.h"

namespace tapir {
namespace {

void require_sizes(const Images& images, const ChannelStatistics& statistics, int64_t rows, int64_t size) {
  require(rows >= 1 && rows < int64_t{1} << 31, "batches",
          [&] { return text("expected a number of rows in [1, 2^31), found ", rows); });
  require(size >= 0 && size <= 4096, "batches", [&] { return text("expected a size in [0, 4096], found ", size); });
  const auto channels = static_cast<size_t>(images.channels);
  require(channels == 3 && statistics.mean.size() == channels && statistics.deviation.size() == channels, "batches", [&] {
    return text("expected statistics of 3 channels, found ", statistics.mean.size(), " means and ", statistics.deviation.size(),
                " deviations for ", channels, " channels");
  });
}

// Of zeros.
ImageBatch empty_batch(const Images& images, int64_t rows, int64_t size) {
  ImageBatch batch;
  batch.rows = rows;
  batch.height = size > 0 ? size : images.height;
  batch.width = size > 0 ? size : images.width;
  batch.channels = images.channels;
  const int64_t numbers = rows * batch.height * batch.width * batch.channels;   // below 2^31 · 2^24 · 3
  require_memory<OutOfMemory>("batches", 4 * numbers, "use a smaller batch");
  batch.pixels.resize(static_cast<size_t>(numbers));
  batch.labels.reserve(static_cast<size_t>(rows));
  return batch;
}

std::span<float> row_of(ImageBatch& batch, int64_t row) {
  const auto each = static_cast<size_t>(batch.height * batch.width * batch.channels);
  return std::span(batch.pixels).subspan(static_cast<size_t>(row) * each, each);
}

// (x − mean) / deviation
void normalise(const FloatImage& image, const ChannelStatistics& statistics, std::span<float> out) {
  float mean[3], deviation[3];
  for (size_t c = 0; c < 3; ++c) {
    mean[c] = static_cast<float>(statistics.mean[c]);
    deviation[c] = statistics.deviation[c] > 0 ? static_cast<float>(statistics.deviation[c]) : 1.0f;
  }
  for (size_t i = 0; i < out.size(); i += 3)
    for (size_t c = 0; c < 3; ++c) out[i + c] = (image.values[i + c] - mean[c]) / deviation[c];
}

// Copies the rectangle of `from`, another image of the batch's size; zeros where there is none.
void fill_box(std::span<float> image, std::span<const float> from, const Box& box, int64_t width) {
  for (int64_t y = box.top; y < box.top + box.height; ++y) {
    const auto begin = static_cast<size_t>((y * width + box.left) * 3), count = static_cast<size_t>(box.width * 3);
    if (from.empty()) {
      std::fill_n(image.begin() + begin, count, 0.0f);
    } else {
      std::copy_n(from.begin() + begin, count, image.begin() + begin);
    }
  }
}

// Mixes every image with the one before it.
void mix(ImageBatch& batch, const std::vector<Augmentation>& drawn) {
  ImageBatch unmixed = batch;
  for (int64_t row = 0; row < batch.rows; ++row) {
    const int64_t before = (row + batch.rows - 1) % batch.rows;
    const Augmentation& own = drawn[static_cast<size_t>(row)];
    const auto out = row_of(batch, row), other = row_of(unmixed, before);
    const auto share = static_cast<float>(own.share);
    if (share != 1)
      for (size_t i = 0; i < out.size(); ++i) out[i] = share * out[i] + (1 - share) * other[i];
    fill_box(out, other, own.cut, batch.width);
    const auto area = static_cast<float>(own.cut.height * own.cut.width);
    batch.other_labels.push_back(batch.labels[static_cast<size_t>(before)]);
    batch.shares.push_back(area > 0 ? 1 - area / static_cast<float>(batch.height * batch.width) : share);
  }
}

}  // namespace

std::vector<float> target_probabilities(const ImageBatch& batch, int64_t classes, double smoothing) {
  require(smoothing >= 0 && smoothing <= 1, "target_probabilities",
          [&] { return text("expected a smoothing in [0, 1], found ", smoothing); });
  const auto even = static_cast<float>(smoothing / static_cast<double>(classes)), kept = static_cast<float>(1 - smoothing);
  std::vector<float> probabilities(static_cast<size_t>(batch.rows * classes), even);
  const auto add = [&](int64_t row, int32_t label, float share) {
    require(label >= 0 && label < classes, "target_probabilities",
            [&] { return text("expected labels in [0, ", classes, "), found ", label); });
    probabilities[static_cast<size_t>(row * classes + label)] += kept * share;
  };
  for (int64_t row = 0; row < batch.rows; ++row) {
    const auto at = static_cast<size_t>(row);
    const float share = batch.shares.empty() ? 1.0f : batch.shares[at];
    add(row, batch.labels[at], share);
    if (!batch.shares.empty()) add(row, batch.other_labels[at], 1 - share);
  }
  return probabilities;
}

ImageBatches::ImageBatches(const Images& images, ChannelStatistics statistics, const AugmentOptions& options, uint64_t seed,
                           int64_t rows, int64_t size)
    : images_(images),
      statistics_(std::move(statistics)),
      options_(options),
      seed_(seed),
      rows_(rows),
      size_(size) {
  require_sizes(images_, statistics_, rows, size);
  require_valid(options);
  require(rows > 1 || (options.mixup == 0 && options.cutmix == 0), "batches",
          [] { return "mixup and cutmix mix an image with another one, and there is 1 in a batch"; }, "use more rows");
  require(images_.size() >= rows, "batches", [&] { return text(rows, " rows need as many images, found ", images_.size()); },
          "use fewer rows, or more images");
}

ImageBatches::Order ImageBatches::order(int64_t epoch) const {
  const std::lock_guard lock(mutex_);
  if (epoch != epoch_) {
    order_ = std::make_shared<const std::vector<int64_t>>(permutation(
        images_.size(), {.seed = seed_, .step = static_cast<uint32_t>(epoch), .site = site_of("images")}));
    epoch_ = epoch;
  }
  return order_;
}

ImageBatch ImageBatches::batch(int64_t k) const {
  require(k >= 0, "batches", [&] { return text("expected a batch number of at least 0, found ", k); });
  const int64_t epoch = k / batches_per_epoch(), first = k % batches_per_epoch() * rows_;
  const Order images = order(epoch);
  const RandomKey key{.seed = seed_, .step = static_cast<uint32_t>(epoch), .site = site_of("augmentation")};
  ImageBatch batch = empty_batch(images_, rows_, size_);
  std::vector<Augmentation> drawn;
  for (int64_t row = 0; row < rows_; ++row) {
    const int64_t image = (*images)[static_cast<size_t>(first + row)];
    Draws draws(key, static_cast<uint64_t>(image) << 32);
    const Augmentation& own = drawn.emplace_back(
        draw_augmentation(options_, images_.height, images_.width, batch.height, batch.width, draws));
    const auto out = row_of(batch, row);
    normalise(augmented(images_.image(image), images_.height, images_.width, own, batch.height, batch.width), statistics_, out);
    fill_box(out, {}, own.erased, batch.width);
    batch.labels.push_back(images_.labels[static_cast<size_t>(image)]);
  }
  if (options_.mixup > 0 || options_.cutmix > 0) mix(batch, drawn);
  return batch;
}

ImageEvaluationBatches::ImageEvaluationBatches(const Images& images, ChannelStatistics statistics, int64_t rows, int64_t size)
    : images_(images), statistics_(std::move(statistics)), rows_(rows), size_(size) {
  require_sizes(images_, statistics_, rows, size);
  require(images_.size() > 0, "batches", [] { return "there is no image to evaluate"; });
}

ImageBatch ImageEvaluationBatches::batch(int64_t k) const {
  require(k >= 0 && k < size(), "batches", [&] { return text("expected a batch number in [0, ", size(), "), found ", k); });
  ImageBatch batch = empty_batch(images_, std::min(rows_, images_.size() - k * rows_), size_);
  Augmentation none;
  none.crop = {0, 0, images_.height, images_.width};
  for (int64_t row = 0; row < batch.rows; ++row) {
    const int64_t image = k * rows_ + row;
    normalise(augmented(images_.image(image), images_.height, images_.width, none, batch.height, batch.width), statistics_,
              row_of(batch, row));
    batch.labels.push_back(images_.labels[static_cast<size_t>(image)]);
  }
  return batch;
}

}  // namespace tapir
