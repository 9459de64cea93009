#include "datasets/image/colour.h"

#include <algorithm>
#include <cmath>

namespace tapir {
namespace {

float grey(const float* pixel) { return 0.2989f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2]; }

float blended(float x, float other, float factor) { return std::clamp(factor * x + (1 - factor) * other, 0.0f, 1.0f); }

template <class Change>
void for_each_pixel(FloatImage& image, const Change& change) {
  for (float* pixel = image.values.data(); pixel != image.values.data() + image.values.size(); pixel += 3) change(pixel);
}

// One channel of the colour with hue `sixths` / 6, saturation and value: v − v s max(0, min(k, 4 − k, 1)) with
// k = (n + sixths) mod 6; n is 5 for red, 3 for green, 1 for blue.
float channel(float n, float sixths, float saturation, float value) {
  float k = n + sixths;
  if (k >= 6) k -= 6;
  return value - value * saturation * std::max(0.0f, std::min(std::min(k, 4 - k), 1.0f));
}

}  // namespace

void adjust_brightness(FloatImage& image, float factor) {
  for (float& value : image.values) value = blended(value, 0, factor);
}

void adjust_contrast(FloatImage& image, float factor) {
  double sum = 0;
  for_each_pixel(image, [&](const float* pixel) { sum += static_cast<double>(grey(pixel)); });
  const auto mean = static_cast<float>(sum / static_cast<double>(image.height * image.width));
  for (float& value : image.values) value = blended(value, mean, factor);
}

void adjust_saturation(FloatImage& image, float factor) {
  for_each_pixel(image, [&](float* pixel) {
    const float own = grey(pixel);
    for (int c = 0; c < 3; ++c) pixel[c] = blended(pixel[c], own, factor);
  });
}

void adjust_hue(FloatImage& image, float turn) {
  for_each_pixel(image, [&](float* pixel) {
    const float r = pixel[0], g = pixel[1], b = pixel[2];
    const float value = std::max(std::max(r, g), b), range = value - std::min(std::min(r, g), b);
    if (range == 0) return;   // grey has no hue
    float sixths = value == r ? (g - b) / range : value == g ? 2 + (b - r) / range : 4 + (r - g) / range;
    sixths += 6 * turn;
    sixths -= 6 * std::floor(sixths / 6);
    const float saturation = range / value;
    pixel[0] = channel(5, sixths, saturation, value);
    pixel[1] = channel(3, sixths, saturation, value);
    pixel[2] = channel(1, sixths, saturation, value);
  });
}

}  // namespace tapir
