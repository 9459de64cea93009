// Batches of images, as a model takes them. Batch k is a pure function of seed and k: a resumed run needs to know k and nothing
// else.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "datasets/image/augment.h"
#include "datasets/image/images.h"

namespace tapir {

struct ImageBatch {
  int64_t rows = 0, height = 0, width = 0, channels = 0;
  std::vector<float> pixels;              // (rows, height, width, channels): (x − mean) / deviation, x in 0 … 1; a channel
                                          // that has no deviation is divided by 1
  std::vector<int32_t> labels;            // rows
  // Where images were mixed: of row b, `shares[b]` is of labels[b] and the rest of other_labels[b]. Else both are empty.
  std::vector<int32_t> other_labels;      // rows
  std::vector<float> shares;              // rows, each in [0, 1]
};

// Probabilities of the classes, (rows, classes): the shares of a batch, smoothed. p = (1 − ε) share + ε / classes
// (Szegedy et al. 2016, arXiv 1512.00567). Error: ε outside [0, 1]; a label outside of the classes.
std::vector<float> target_probabilities(const ImageBatch& batch, int64_t classes, double smoothing = 0);

// Batches refer to their images, which must outlive them.

// For training, in an order of its own for each epoch: row b of batch k is image π_e(k B + b − e K B) with e = ⌊k / K⌋,
// K = ⌊n / B⌋ and π_e a permutation that is a pure function of the seed and e, augmented by draws of (seed, e, image). With
// mixup or cutmix x′ is the row before, of the first row the last. The n mod B images at the end of π_e are not used in that
// epoch.
class ImageBatches {
 public:
  // `rows` is B; `size` ≤ 4096 the height and width of the result, 0: those of the images.
  // Error: B or size out of range; fewer than B images; statistics of another number of channels; invalid options.
  ImageBatches(const Images& images, ChannelStatistics statistics, const AugmentOptions& options, uint64_t seed, int64_t rows,
               int64_t size = 0);
  ImageBatches(const Images&&, ChannelStatistics, const AugmentOptions&, uint64_t, int64_t, int64_t = 0) = delete;

  int64_t batches_per_epoch() const { return images_.size() / rows_; }

  // Error: k < 0. Several threads may ask at once.
  ImageBatch batch(int64_t k) const;

 private:
  using Order = std::shared_ptr<const std::vector<int64_t>>;
  Order order(int64_t epoch) const;

  const Images& images_;
  ChannelStatistics statistics_;
  AugmentOptions options_;
  uint64_t seed_;
  int64_t rows_, size_;
  mutable std::mutex mutex_;
  mutable Order order_;   // π of epoch_
  mutable int64_t epoch_ = -1;
};

// For evaluation: images in their order, the last batch as short as it comes; resized to `size` (bilinear, antialiased).
class ImageEvaluationBatches {
 public:
  // Error: as above, or no image.
  ImageEvaluationBatches(const Images& images, ChannelStatistics statistics, int64_t rows, int64_t size = 0);
  ImageEvaluationBatches(const Images&&, ChannelStatistics, int64_t, int64_t = 0) = delete;

  int64_t size() const { return (images_.size() + rows_ - 1) / rows_; }   // number of batches

  // Error: k outside [0, size()). Several threads may ask at once.
  ImageBatch batch(int64_t k) const;

 private:
  const Images& images_;
  ChannelStatistics statistics_;
  int64_t rows_, size_;
};

}  // namespace tapir
