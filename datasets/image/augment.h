// Augmentations of training images, each drawn by (seed, epoch, sample) alone. In this order, on pixels of 0 … 1 in f32:
// crop, flip, rotation, colour; then, normalised, erasing; then mixup or cutmix with another image of the batch.
// Definitions are those of torchvision's transforms for tensors, unless a line says otherwise.
#pragma once
#include <cstdint>

namespace tapir {

struct AugmentOptions {
  int64_t crop_padding = 0;       // p: a crop of the image's own size, uniform in the image with p black pixels around it
  double smallest_crop = 1;       // s: a crop of a share in [s, 1] of the area, ratio log-uniform in [3/4, 4/3], resized; 1: none
  double flip = 0;                // probability that left and right change places
  double rotation = 0;            // r: degrees in [−r, r] about the middle; nearest pixel, black outside
  double brightness = 0;          // b: times a factor in [max(0, 1 − b), 1 + b]
  double contrast = 0;            // the same factor of the difference from the mean grey
  double saturation = 0;          // the same factor of the difference from each pixel's grey
  double hue = 0;                 // h: a turn in [−h, h] of the circle of hues, h ≤ 0.5; the four in an order that is drawn
  double erasing = 0;             // probability that a rectangle of a share in [0.02, 0.33] of the area, ratio log-uniform in
                                  // [0.3, 3.3], becomes 0, the mean
  double mixup = 0;               // α ≤ 1: λ ~ Beta(α, α), λ x + (1 − λ) x′ (Zhang et al. 2018, arXiv 1710.09412)
  double cutmix = 0;              // α ≤ 1: a rectangle of a share 1 − λ is that of x′ (Yun et al. 2019, arXiv 1905.04899); where
                                  // mixup is on as well, each image has one of them, either with probability 1/2
};

// Error: a field out of its range, "augment" with its name; both crops at once.
void require_valid(const AugmentOptions& options);

}  // namespace tapir
