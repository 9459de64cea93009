#include "datasets/image/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <utility>

#include "datasets/image/colour.h"
#include "tensor/error.h"
#include "tensor/scalar_math.h"
#include "tensor/sine.h"

namespace tapir {
namespace {

constexpr int tries = 10;   // to find a rectangle that fits, as torchvision has it

// A rectangle of a share of the area between the bounds, its ratio of width to height log-uniform between others.
std::optional<Box> drawn_box(int64_t height, int64_t width, double least_share, double most_share, double least_ratio,
                             double most_ratio, int64_t margin, Draws& draws) {
  const double area = static_cast<double>(height * width);
  for (int k = 0; k < tries; ++k) {
    const double target = area * draws.uniform(least_share, most_share);
    const double ratio = math::exp(draws.uniform(math::log(least_ratio), math::log(most_ratio)));
    const auto w = static_cast<int64_t>(std::nearbyint(std::sqrt(target * ratio)));
    const auto h = static_cast<int64_t>(std::nearbyint(std::sqrt(target / ratio)));
    if (h < 1 || w < 1 || h > height - margin || w > width - margin) continue;
    const int64_t top = draws.below(height - h + 1), left = draws.below(width - w + 1);
    return Box{top, left, h, w};
  }
  return {};
}

// The largest rectangle in the middle with a ratio in [3/4, 4/3].
Box middle_box(int64_t height, int64_t width) {
  int64_t h = height, w = width;
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  if (ratio < 0.75) h = static_cast<int64_t>(std::nearbyint(static_cast<double>(width) / 0.75));
  if (ratio > 4.0 / 3) w = static_cast<int64_t>(std::nearbyint(static_cast<double>(height) * 4.0 / 3));
  return {(height - h) / 2, (width - w) / 2, h, w};
}

// Beta(α, α) for α ≤ 1: u^{1/α} / (u^{1/α} + v^{1/α}), once the sum is at most 1 (Jöhnk 1964); in logarithms.
double beta(double alpha, Draws& draws) {
  for (;;) {
    const double x = math::log(draws.uniform(0, 1)) / alpha, y = math::log(draws.uniform(0, 1)) / alpha;
    if (math::exp(x) + math::exp(y) <= 1) return 1 / (1 + math::exp(y - x));
  }
}

// About a uniform centre, each side √(1 − λ) of the image's, cut by its edge.
Box cutmix_box(int64_t height, int64_t width, double lambda, Draws& draws) {
  const int64_t x = draws.below(width), y = draws.below(height);
  const double half = 0.5 * std::sqrt(1 - lambda);
  const auto across = static_cast<int64_t>(half * static_cast<double>(width));
  const auto down = static_cast<int64_t>(half * static_cast<double>(height));
  const int64_t left = std::max<int64_t>(x - across, 0), top = std::max<int64_t>(y - down, 0);
  return {top, left, std::min(y + down, height) - top, std::min(x + across, width) - left};
}

// Zero outside of the image.
FloatImage cropped(std::span<const uint8_t> pixels, int64_t height, int64_t width, const Box& box) {
  static const std::array<float, 256> scale = [] {
    std::array<float, 256> made;
    for (size_t value = 0; value < 256; ++value) made[value] = static_cast<float>(value) / 255;
    return made;
  }();
  FloatImage result(box.height, box.width, 3);
  const int64_t first = std::max<int64_t>(0, -box.left), last = std::min(box.width, width - box.left);
  for (int64_t y = std::max<int64_t>(0, -box.top); y < std::min(box.height, height - box.top); ++y) {
    const uint8_t* const from = pixels.data() + ((box.top + y) * width + box.left) * 3;
    float* const to = result.at(y, 0);
    for (int64_t i = 3 * first; i < 3 * last; ++i) to[i] = scale[from[i]];
  }
  return result;
}

void flip(FloatImage& image) {
  for (int64_t y = 0; y < image.height; ++y)
    for (int64_t left = 0, right = image.width - 1; left < right; ++left, --right)
      std::swap_ranges(image.at(y, left), image.at(y, left) + 3, image.at(y, right));
}

FloatImage rotated(const FloatImage& image, double degrees) {
  const double angle = degrees * std::numbers::pi / 180, cosine = math::cos(angle), sine = math::sin(angle);
  const double middle_x = static_cast<double>(image.width - 1) / 2, middle_y = static_cast<double>(image.height - 1) / 2;
  FloatImage result(image.height, image.width, 3);
  for (int64_t row = 0; row < image.height; ++row)
    for (int64_t column = 0; column < image.width; ++column) {
      const double x = static_cast<double>(column) - middle_x, y = static_cast<double>(row) - middle_y;
      const auto from_x = static_cast<int64_t>(std::nearbyint(cosine * x - sine * y + middle_x));
      const auto from_y = static_cast<int64_t>(std::nearbyint(sine * x + cosine * y + middle_y));
      if (from_x < 0 || from_x >= image.width || from_y < 0 || from_y >= image.height) continue;
      std::copy_n(image.at(from_y, from_x), 3, result.at(row, column));
    }
  return result;
}

void adjust_colour(FloatImage& image, const Augmentation& augmentation) {
  for (const int which : augmentation.order) {
    const auto amount = static_cast<float>(augmentation.colour[static_cast<size_t>(which)]);
    if (which == 3 ? amount == 0 : amount == 1) continue;
    switch (which) {
      case 0: adjust_brightness(image, amount); break;
      case 1: adjust_contrast(image, amount); break;
      case 2: adjust_saturation(image, amount); break;
      default: adjust_hue(image, amount);
    }
  }
}

}  // namespace

void require_valid(const AugmentOptions& options) {
  const auto within = [](const char* name, auto value, double least, double most) {
    require(value >= least && value <= most, text("augment.", name),
            [&] { return text("expected a number in [", least, ", ", most, "], found ", value); });
  };
  within("crop_padding", options.crop_padding, 0, 1024);
  within("smallest_crop", options.smallest_crop, 0.01, 1);
  within("flip", options.flip, 0, 1);
  within("rotation", options.rotation, 0, 180);
  within("brightness", options.brightness, 0, 10);
  within("contrast", options.contrast, 0, 10);
  within("saturation", options.saturation, 0, 10);
  within("hue", options.hue, 0, 0.5);
  within("erasing", options.erasing, 0, 1);
  if (options.mixup != 0) within("mixup", options.mixup, 0.01, 1);
  if (options.cutmix != 0) within("cutmix", options.cutmix, 0.01, 1);
  require(options.crop_padding == 0 || options.smallest_crop == 1, "augment",
          [] { return "an image has one crop, found crop_padding and smallest_crop"; });
}

Augmentation draw_augmentation(const AugmentOptions& options, int64_t height, int64_t width, int64_t out_height,
                               int64_t out_width, Draws& draws) {
  Augmentation drawn;
  drawn.crop = {0, 0, height, width};
  if (const auto padding = options.crop_padding; padding > 0) {
    drawn.crop.top = draws.below(2 * padding + 1) - padding;
    drawn.crop.left = draws.below(2 * padding + 1) - padding;
  }
  if (options.smallest_crop < 1)
    drawn.crop =
        drawn_box(height, width, options.smallest_crop, 1, 0.75, 4.0 / 3, 0, draws).value_or(middle_box(height, width));
  if (options.flip > 0) drawn.is_flipped = draws.uniform(0, 1) < options.flip;
  if (options.rotation > 0) drawn.degrees = draws.uniform(-options.rotation, options.rotation);

  const std::array<double, 4> strengths{options.brightness, options.contrast, options.saturation, options.hue};
  if (std::any_of(strengths.begin(), strengths.end(), [](double strength) { return strength > 0; })) {
    drawn.order = {0, 1, 2, 3};
    for (int32_t last = 3; last > 0; --last)
      std::swap(drawn.order[static_cast<size_t>(last)], drawn.order[static_cast<size_t>(draws.below(last + 1))]);
    for (size_t k = 0; k < 4; ++k)
      if (const double strength = strengths[k]; strength > 0)
        drawn.colour[k] = k == 3 ? draws.uniform(-strength, strength)
                                 : draws.uniform(std::max(0.0, 1 - strength), 1 + strength);
  }
  if (options.erasing > 0 && draws.uniform(0, 1) < options.erasing)
    drawn.erased = drawn_box(out_height, out_width, 0.02, 0.33, 1 / 3.3, 1 / 0.3, 1, draws).value_or(Box{});

  const bool mixes = options.mixup > 0, cuts = options.cutmix > 0;
  if (mixes && (!cuts || draws.uniform(0, 1) < 0.5)) {
    drawn.share = beta(options.mixup, draws);
  } else if (cuts) {
    drawn.cut = cutmix_box(out_height, out_width, beta(options.cutmix, draws), draws);
  }
  return drawn;
}

FloatImage augmented(std::span<const uint8_t> pixels, int64_t height, int64_t width, const Augmentation& augmentation,
                     int64_t out_height, int64_t out_width) {
  FloatImage image = cropped(pixels, height, width, augmentation.crop);
  if (image.height != out_height || image.width != out_width)
    image = resized(image, {0, 0, image.height, image.width}, out_height, out_width);
  if (augmentation.is_flipped) flip(image);
  if (augmentation.degrees != 0) image = rotated(image, augmentation.degrees);
  adjust_colour(image, augmentation);
  return image;
}

}  // namespace tapir
