// Sine waves as vectors of places.
#pragma once
#include <cstdint>
#include <vector>

namespace tapir::nn {

// Of one place, `width` channels: pe[2r] = sin(place / 10000^(2r/width)), pe[2r+1] = cos(place / 10000^(2r/width)).
// Vaswani et al. 2017, section 3.5
std::vector<double> wave_vector(int64_t place, int64_t width);

}  // namespace tapir::nn
