// Images of regions whose textures differ in frequency alone: no pixel and no mean tells one from another. Each image is a function of
// its key.
//
// An image has 2 … `regions` regions, the cells of points drawn in the square (Voronoi), each with a class of its own. Class k of K
// has the spatial frequency f_k = 1/16 · (16/3)^(k/(K−1)) periods a pixel, in waves √(2/n) Σ cos(2π f (x cos θ + y sin θ) + φ) of
// drawn angles and phases, mean 0 and variance 1: by chance a grating, n = 1, or a noise of n = 16 waves with f in a band of ±10 %
// about f_k. Independent uniform noise of deviation `noise` is added to each pixel.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/philox.h"

namespace tapir {

struct RegionSpec {
  int64_t size = 64;      // pixels along each side
  int64_t classes = 6;    // K ≥ 2
  int64_t regions = 6;    // at most, 2 … K
  double noise = 0.5;
};

struct RegionImage {
  std::vector<float> pixels;     // (size,size), row by row
  std::vector<int32_t> labels;   // the class of each
};

double region_frequency(const RegionSpec& spec, int64_t label);   // f_k

RegionImage region_image(const RegionSpec& spec, const RandomKey& key);   // throws Error for a spec that is not as above

}  // namespace tapir
