// How many images a second are read from memory into batches, by one thread without a loader; and how long a step that takes
// a batch waits for it, with a loader.
//
//   tapir_images [THREADS] [STEP_MILLISECONDS]      (1, 20: what the loader has, and what a step computes for)
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "datasets/image/loader.h"
#include "datasets/synthetic/pictures.h"
#include "nn/train/progress.h"

using namespace tapir;

namespace {

constexpr int64_t rows = 128;

AugmentOptions crop_and_flip() {
  AugmentOptions options;
  options.crop_padding = 4;
  options.flip = 0.5;
  return options;
}

AugmentOptions everything() {
  AugmentOptions options;
  options.smallest_crop = 0.08;
  options.flip = 0.5;
  options.rotation = 15;
  options.brightness = options.contrast = options.saturation = 0.4;
  options.hue = 0.1;
  options.erasing = 0.25;
  options.mixup = 0.2;
  options.cutmix = 1;
  return options;
}

// The median of rates over 15 rounds.
double images_per_second(const ImageBatches& batches) {
  std::vector<double> rates;
  for (int64_t round = 0; round < 15; ++round) {
    const double start = steady_seconds();
    for (int64_t k = 0; k < 10; ++k) batches.batch(10 * round + k);
    rates.push_back(10 * rows / (steady_seconds() - start));
  }
  std::sort(rates.begin(), rates.end());
  return rates[rates.size() / 2];
}

// A step keeps its core busy. One that slept would let the core rest, and be timed as it wakes.
void compute_for(double seconds) {
  for (const double start = steady_seconds(); steady_seconds() - start < seconds;) {}
}

void print_waits(const ImageBatches& batches, int threads, int milliseconds) {
  ImageLoader loader([&](int64_t k) { return batches.batch(k); }, threads);
  loader.batch(0);
  std::vector<double> waits;
  for (int64_t k = 1; k <= 200; ++k) {
    compute_for(1e-3 * milliseconds);
    const double start = steady_seconds();
    const ImageBatch taken = loader.batch(k);
    waits.push_back(1e6 * (steady_seconds() - start));
  }
  std::sort(waits.begin(), waits.end());
  std::printf("  threads %d, steps of %d ms: waits %.0f us in the median, %.0f us at most\n", threads, milliseconds,
              waits[waits.size() / 2], waits.back());
}

}  // namespace

int main(int count, char** arguments) {
  const int threads = count > 1 ? std::atoi(arguments[1]) : 1, milliseconds = count > 2 ? std::atoi(arguments[2]) : 20;
  ImageSpec spec;
  spec.kind = "synthetic-shapes";
  spec.limits = {20'000, 10, 10};
  const ImageSet set = read_images(spec);
  for (const auto& [name, options] : {std::pair{"normalised alone", AugmentOptions{}},
                                      std::pair{"crop and flip", crop_and_flip()}, std::pair{"everything", everything()}}) {
    const ImageBatches batches(set.train, set.description.statistics, options, 1, rows);
    std::printf("%-16s %8.0f images/s, 32 x 32, one core\n", name, images_per_second(batches));
    print_waits(batches, 0, milliseconds);
    print_waits(batches, threads, milliseconds);
  }
}
