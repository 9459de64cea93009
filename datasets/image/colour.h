// Colours of images with pixels of 0 … 1, red, green and blue: torchvision's adjust_… for tensors of floats.
#pragma once
#include "datasets/image/resize.h"

namespace tapir {

// Each gives clamp(factor x + (1 − factor) z), with z of
void adjust_brightness(FloatImage& image, float factor);   // 0
void adjust_contrast(FloatImage& image, float factor);     // the mean grey of the image
void adjust_saturation(FloatImage& image, float factor);   // each pixel's grey, 0.2989 r + 0.587 g + 0.114 b

// Turns the hue by `turn` ∈ [−½, ½] of the circle; saturation and value of HSV stay (Smith 1978).
void adjust_hue(FloatImage& image, float turn);

}  // namespace tapir
