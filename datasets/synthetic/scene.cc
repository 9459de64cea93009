#include "datasets/synthetic/scene.h"

#include <algorithm>
#include <cmath>

namespace tapir {
namespace {

struct Disc {
  double x, y, radius;
  std::array<double, 3> colour;   // what it adds
};

constexpr Disc discs[] = {
    {-0.5, -0.4, 0.3, {0.3, -0.2, -0.3}}, {0.45, -0.55, 0.2, {-0.3, 0.3, 0.1}}, {0.6, 0.2, 0.25, {-0.1, -0.3, 0.3}}};

struct Stroke {
  double x0, y0, x1, y1;
};

constexpr double half_width = 0.03;
constexpr Stroke strokes[] = {   // A, V and Z
    {-0.8, 0.9, -0.65, 0.4}, {-0.65, 0.4, -0.5, 0.9}, {-0.74, 0.7, -0.56, 0.7}, {-0.35, 0.4, -0.2, 0.9},
    {-0.2, 0.9, -0.05, 0.4}, {0.1, 0.4, 0.4, 0.4},    {0.4, 0.4, 0.1, 0.9},     {0.1, 0.9, 0.4, 0.9}};

bool is_on(const Stroke& stroke, double x, double y) {   // whether the nearest point of the segment is near enough
  const double dx = stroke.x1 - stroke.x0, dy = stroke.y1 - stroke.y0;
  const double share = std::clamp(((x - stroke.x0) * dx + (y - stroke.y0) * dy) / (dx * dx + dy * dy), 0.0, 1.0);
  return std::hypot(x - stroke.x0 - share * dx, y - stroke.y0 - share * dy) <= half_width;
}

}  // namespace

std::array<double, 3> scene_at(double x, double y) {
  const double rings = 0.25 * std::cos(12 * ((x + 1) * (x + 1) + (y + 1) * (y + 1)));
  std::array<double, 3> colour{0.2 * x + rings, 0.2 * y + rings, -0.1 * (x + y) + rings};
  const auto add = [&](const std::array<double, 3>& more) {
    for (size_t c = 0; c < 3; ++c) colour[c] += more[c];
  };
  for (const Disc& disc : discs)
    if (std::hypot(x - disc.x, y - disc.y) <= disc.radius) add(disc.colour);
  if (std::any_of(std::begin(strokes), std::end(strokes), [&](const Stroke& stroke) { return is_on(stroke, x, y); }))
    add({0.25, 0.25, 0.25});
  return colour;
}

}  // namespace tapir
