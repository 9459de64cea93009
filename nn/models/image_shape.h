// What a model of images is told of them.
#pragma once
#include <cstdint>

namespace tapir::nn {

struct ImageShape {
  int64_t height = 0, width = 0, channels = 3;
};

}  // namespace tapir::nn
