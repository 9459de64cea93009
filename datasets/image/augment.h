// Augmentations of training images, in this order, on pixels of 0 … 1 in f32: crop, flip, rotation, colour; then, normalised,
// erasing; then mixup or cutmix with another image of the batch. Definitions are those of torchvision's transforms for tensors
// of floats, unless a line says otherwise.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "datasets/draws.h"
#include "datasets/image/resize.h"

namespace tapir {

struct AugmentOptions {
  int64_t crop_padding = 0;   // p: a crop of the image's own size, uniform in the image with p black pixels on every side
  double smallest_crop = 1;   // s: a crop of a share in [s, 1] of the area, w/h log-uniform in [3/4, 4/3], resized; 1: none
  double flip = 0;            // probability that left and right change places
  double rotation = 0;        // r ≤ 180: degrees in [−r, r], about the middle; the nearest pixel, black outside
  double brightness = 0;      // b: times a factor in [max(0, 1 − b), 1 + b]
  double contrast = 0;        // the same factor of the difference from the mean grey
  double saturation = 0;      // the same factor of the difference from each pixel's grey
  double hue = 0;             // h ≤ ½: a turn in [−h, h] of the circle of hues; the four of them in an order that is drawn
  double erasing = 0;         // probability that a rectangle of a share in [0.02, 0.33] of the area, height to width
                              // log-uniform in [0.3, 3.3], becomes 0, the mean (Zhong et al. 2017, arXiv 1708.04896)
  double mixup = 0;           // α: λ x + (1 − λ) x′ with λ ~ Beta(α, α) (Zhang et al. 2018, arXiv 1710.09412)
  double cutmix = 0;          // α: x with a rectangle of x′, of a share 1 − λ before it is cut by the edge (Yun et al. 2019,
                              // arXiv 1905.04899). Where mixup is on as well, an image has either with probability ½. λ is
                              // each image's own. α is 0, or in [0.01, 1].

  bool operator==(const AugmentOptions&) const = default;
};

// Error: a field out of its range, "augment." with its name; both crops.
void require_valid(const AugmentOptions& options);

// What is drawn for one image.
struct Augmentation {
  Box crop;                      // in the image; with padding it may begin and end outside
  bool is_flipped = false;
  double degrees = 0;            // counter-clockwise
  std::array<int, 4> order{};    // of brightness 0, contrast 1, saturation 2, hue 3
  std::array<double, 4> colour{1, 1, 1, 0};   // factors, and the turn of hues
  Box erased;                    // in the result; of height 0: none
  double share = 1;              // mixup's λ
  Box cut;                       // cutmix's rectangle, in the result; of height 0: none
};

// For an image of height × width that becomes one of out_height × out_width.
Augmentation draw_augmentation(const AugmentOptions& options, int64_t height, int64_t width, int64_t out_height,
                               int64_t out_width, Draws& draws);

// Crop, flip, rotation and colour of `pixels`, (height, width, 3).
FloatImage augmented(std::span<const uint8_t> pixels, int64_t height, int64_t width, const Augmentation& augmentation,
                     int64_t out_height, int64_t out_width);

}  // namespace tapir
