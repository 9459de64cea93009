// Drawn images in the layout of CIFAR-10 (datasets/image/cifar.h), so that what reads that layout needs no download. An image
// is a function of the kind, the part, and its index alone.
//
//   shapes      a circle, a square, a triangle, a cross or a ring, filled with one colour on another, with noise
//   textures    horizontal, vertical or diagonal stripes, checks or dots of a drawn period and place, in two colours, with noise
//   triangle    three blurred white points on black: corners of an equilateral triangle ("equilateral") or not ("other"). The
//               Triangle task of Sun et al. 2023 (arXiv 2309.12862), after its released code; usually 64 × 64
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tapir {

const std::vector<std::string>& picture_kinds();                     // their names
const std::vector<std::string>& picture_classes(const std::string& kind);   // Error: there is no such kind

// `count` records of images of `size` × `size`, their classes in turn. Error: there is no such kind; size outside [16, 256].
std::string picture_records(const std::string& kind, std::string_view part, int64_t count, int64_t size);

}  // namespace tapir
