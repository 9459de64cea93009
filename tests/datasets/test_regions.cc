// Images of regions: what follows from the key, equal means, frequencies as they are said.
#include "datasets/synthetic/regions.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "tests/messages.h"

using namespace tapir;

namespace {

RandomKey key_of(uint32_t index, uint64_t seed = 1) { return {.seed = seed, .step = index, .site = site_of("test")}; }

// Power of the pixels (n,n) at u and v whole periods of the image, to the right and downwards.
double power_at(const std::vector<float>& pixels, int64_t n, int64_t u, int64_t v) {
  double real = 0, imaginary = 0;
  for (int64_t i = 0; i < n * n; ++i) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(u * (i % n) + v * (i / n)) / static_cast<double>(n);
    real += pixels[i] * std::cos(angle);
    imaginary += pixels[i] * std::sin(angle);
  }
  return real * real + imaginary * imaginary;
}

}  // namespace

TEST_CASE("regions: an image is a function of its key; regions are cells of classes of their own") {
  const RegionSpec spec;
  std::set<size_t> counts;
  for (uint32_t index = 0; index < 40; ++index) {
    const RegionImage one = region_image(spec, key_of(index)), again = region_image(spec, key_of(index));
    CHECK(one.pixels == again.pixels);
    CHECK(one.labels == again.labels);
    REQUIRE(one.pixels.size() == 64 * 64);
    const std::set<int32_t> classes(one.labels.begin(), one.labels.end());
    counts.insert(classes.size());
    CHECK((*classes.begin() >= 0 && *classes.rbegin() < 6));
  }
  CHECK(*counts.rbegin() == 6);
  CHECK(counts.size() >= 4);
  CHECK(region_image(spec, key_of(0)).pixels != region_image(spec, key_of(1)).pixels);
  CHECK(region_image(spec, key_of(0)).labels != region_image(spec, key_of(0, 2)).labels);
}

TEST_CASE("regions: every class has the mean 0 and the variance 1, and the noise its own") {
  for (const double noise : {0.0, 0.5}) {
    const RegionSpec spec{.noise = noise};
    std::vector<double> sums(6), squares(6), numbers(6);
    for (uint32_t index = 0; index < 300; ++index) {
      const RegionImage one = region_image(spec, key_of(index));
      for (size_t i = 0; i < one.pixels.size(); ++i) {
        sums[one.labels[i]] += one.pixels[i];
        squares[one.labels[i]] += one.pixels[i] * one.pixels[i];
        ++numbers[one.labels[i]];
      }
    }
    for (size_t k = 0; k < 6; ++k) {
      CHECK(std::abs(sums[k] / numbers[k]) < 0.03);
      CHECK(squares[k] / numbers[k] == doctest::Approx(1 + noise * noise).epsilon(0.06));
    }
  }
}

TEST_CASE("regions: the power of a class lies at its frequency") {
  const RegionSpec spec{.noise = 0};
  CHECK(region_frequency(spec, 0) == doctest::Approx(1.0 / 16));
  CHECK(region_frequency(spec, 5) == doctest::Approx(1.0 / 3));
  CHECK(region_frequency(spec, 3) / region_frequency(spec, 2) == doctest::Approx(std::pow(16.0 / 3, 0.2)));
  constexpr int64_t n = 64;
  int64_t judged = 0;
  for (uint32_t index = 0; index < 40; ++index) {
    RegionImage one = region_image(spec, key_of(index));
    for (int32_t label = 0; label < 6; ++label) {   // of each region that fills a third of the image
      std::vector<float> pixels = one.pixels;
      int64_t there = 0;
      for (size_t i = 0; i < pixels.size(); ++i) {
        if (one.labels[i] != label) pixels[i] = 0;
        else ++there;
      }
      if (there < n * n / 3) continue;
      double total = 0, weighted = 0;
      for (int64_t v = -n / 2; v < n / 2; ++v)
        for (int64_t u = 0; u < n / 2; ++u) {
          const double power = power_at(pixels, n, u, v);
          total += power;
          weighted += power * std::hypot(static_cast<double>(u), static_cast<double>(v)) / n;
        }
      CHECK(weighted / total == doctest::Approx(region_frequency(spec, label)).epsilon(0.25));   // cut off at edges
      if (++judged == 6) return;
    }
  }
  FAIL("too few regions are large");
}

TEST_CASE("regions: a spec that makes no images is refused") {
  const auto refused = [](const RegionSpec& spec) { return message_of([&] { region_image(spec, key_of(0)); }); };
  CHECK(refused({}) == "no error");
  CHECK(refused({.classes = 4, .regions = 5}) ==
        "regions: needs pixels, and 2 classes or more for 2 … classes regions, got size 64, 4 classes, 5 regions, noise 0.5");
  for (const RegionSpec& spec : {RegionSpec{.size = 0}, RegionSpec{.classes = 1, .regions = 1}, RegionSpec{.regions = 1},
                                 RegionSpec{.noise = -1}})
    CHECK(refused(spec).starts_with("regions: needs pixels"));
}
