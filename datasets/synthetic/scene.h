// A picture that is a formula, so that it is known between its pixels too: a slope of colours, rings that become finer to the
// corner (a zone plate), discs with sharp edges, and strokes as of writing.
#pragma once
#include <array>

namespace tapir {

// Red, green and blue, each in [−1, 1], at x to the right and y downwards in [−1, 1]².
std::array<double, 3> scene_at(double x, double y);

}  // namespace tapir
