#include "datasets/image/resize.h"

#include <algorithm>
#include <cmath>

namespace tapir {
namespace {

// What one pixel of an axis takes: `weights` of the pixels from `first` on.
struct Taps {
  int64_t first;
  std::vector<float> weights;
};

std::vector<Taps> taps_of(int64_t n, int64_t m) {
  const double ratio = static_cast<double>(n) / static_cast<double>(m), s = std::max(ratio, 1.0);
  std::vector<Taps> all;
  for (int64_t i = 0; i < m; ++i) {
    const double c = (static_cast<double>(i) + 0.5) * ratio;
    const auto first = std::max<int64_t>(static_cast<int64_t>(std::floor(c - s)), 0);
    const auto last = std::min<int64_t>(static_cast<int64_t>(std::ceil(c + s)), n);
    std::vector<double> weights;
    double sum = 0;
    for (int64_t j = first; j < last; ++j) {
      weights.push_back(std::max(0.0, 1 - std::fabs(static_cast<double>(j) + 0.5 - c) / s));
      sum += weights.back();
    }
    Taps& taps = all.emplace_back(Taps{first, {}});
    for (const double weight : weights) taps.weights.push_back(static_cast<float>(weight / sum));
  }
  return all;
}

// Of `values`, an image of `row` pixels a row.
template <class T>
FloatImage resample(const T* values, int64_t row, int64_t channels, const Box& box, int64_t height, int64_t width) {
  const std::vector<Taps> across = taps_of(box.width, width), down = taps_of(box.height, height);
  FloatImage narrow(box.height, width, channels), result(height, width, channels);
  for (int64_t y = 0; y < box.height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const Taps& taps = across[static_cast<size_t>(x)];
      const T* from = values + ((box.top + y) * row + box.left + taps.first) * channels;
      float* const to = narrow.at(y, x);
      for (const float weight : taps.weights)
        for (int64_t c = 0; c < channels; ++c) to[c] += weight * static_cast<float>(*from++);
    }
  for (int64_t y = 0; y < height; ++y) {
    float* const to = result.at(y, 0);
    int64_t line = down[static_cast<size_t>(y)].first;
    for (const float weight : down[static_cast<size_t>(y)].weights) {
      const float* const from = narrow.at(line++, 0);
      for (int64_t i = 0; i < width * channels; ++i) to[i] += weight * from[i];
    }
  }
  return result;
}

std::vector<uint8_t> bytes_of(const FloatImage& image) {
  std::vector<uint8_t> bytes(image.values.size());
  std::transform(image.values.begin(), image.values.end(), bytes.begin(),
                 [](float value) { return static_cast<uint8_t>(std::clamp(std::nearbyint(value), 0.0f, 255.0f)); });
  return bytes;
}

}  // namespace

FloatImage resized(const FloatImage& image, const Box& box, int64_t height, int64_t width) {
  return resample(image.values.data(), image.width, image.channels, box, height, width);
}

DecodedImage resized(const DecodedImage& image, int64_t height, int64_t width) {
  const Box whole{0, 0, image.height, image.width};
  return {height, width, bytes_of(resample(image.pixels.data(), image.width, 3, whole, height, width))};
}

std::vector<uint8_t> fit_square(const DecodedImage& image, int64_t size) {
  const int64_t side = std::min(image.height, image.width);
  const Box middle{(image.height - side) / 2, (image.width - side) / 2, side, side};
  return bytes_of(resample(image.pixels.data(), image.width, 3, middle, size, size));
}

}  // namespace tapir
