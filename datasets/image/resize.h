// Images as numbers, and their sizes.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "datasets/image/decode.h"

namespace tapir {

struct FloatImage {
  int64_t height = 0, width = 0, channels = 3;
  std::vector<float> values;   // (height, width, channels)

  FloatImage(int64_t rows, int64_t columns, int64_t depth)
      : height(rows), width(columns), channels(depth), values(static_cast<size_t>(rows * columns * depth)) {}
  float* at(int64_t y, int64_t x) { return values.data() + (y * width + x) * channels; }
  const float* at(int64_t y, int64_t x) const { return values.data() + (y * width + x) * channels; }
};

// A rectangle of whole pixels.
struct Box {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

// The part `box` of the image at another size: bilinear, antialiased as PyTorch's interpolate(…, antialias=True) of the part
// alone. Along an axis of n pixels that become m, s = max(n / m, 1): output i is at c = (i + ½) n / m, and takes each pixel j
// of [c − s, c + s] by the weight max(0, 1 − |j + ½ − c| / s), divided by their sum. The box lies in the image.
FloatImage resized(const FloatImage& image, const Box& box, int64_t height, int64_t width);

// The whole image so, rounded to bytes.
DecodedImage resized(const DecodedImage& image, int64_t height, int64_t width);

// The middle square of the image, resized to `size` × `size` and rounded to bytes.
std::vector<uint8_t> fit_square(const DecodedImage& image, int64_t size);

}  // namespace tapir
