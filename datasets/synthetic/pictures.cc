#include "datasets/synthetic/pictures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>

#include "datasets/draws.h"
#include "datasets/text/utf8.h"
#include "tensor/available_memory.h"
#include "tensor/error.h"

namespace tapir {
namespace {

using Inside = std::function<bool(int32_t x, int32_t y)>;   // whether a pixel has the first of two colours

// Planes of one picture, as in a record.
struct Canvas {
  std::string& bytes;
  size_t begin;
  int32_t size;

  char& at(int32_t channel, int32_t x, int32_t y) {
    return bytes[begin + static_cast<size_t>((channel * size + y) * size + x)];
  }
};

// Two colours that differ by at least 192 in all channels together, and grey noise of −16 … 16.
void paint(Canvas canvas, Draws& draws, const Inside& inside) {
  std::array<int32_t, 3> colours[2];
  int32_t difference = 0;
  while (difference < 192) {
    difference = 0;
    for (auto& colour : colours)
      for (int32_t& value : colour) value = draws.below(256);
    for (size_t c = 0; c < 3; ++c) difference += std::abs(colours[0][c] - colours[1][c]);
  }
  for (int32_t y = 0; y < canvas.size; ++y)
    for (int32_t x = 0; x < canvas.size; ++x) {
      const int32_t noise = draws.below(33) - 16;
      const auto& colour = colours[inside(x, y) ? 0 : 1];
      for (int32_t c = 0; c < 3; ++c)
        canvas.at(c, x, y) = static_cast<char>(std::clamp(colour[static_cast<size_t>(c)] + noise, 0, 255));
    }
}

void draw_shape(Canvas canvas, int32_t label, Draws& draws) {
  const int32_t r = canvas.size / 6 + draws.below(canvas.size / 6);   // of a square around it, which lies in the image
  const int32_t left = r + draws.below(canvas.size - 2 * r), top = r + draws.below(canvas.size - 2 * r);
  paint(canvas, draws, [=](int32_t px, int32_t py) {
    const int32_t x = px - left, y = py - top, square = x * x + y * y;
    const bool near = std::max(std::abs(x), std::abs(y)) <= r;
    switch (label) {
      case 0: return square <= r * r;
      case 1: return near;
      case 2: return near && 2 * std::abs(x) <= y + r;
      case 3: return near && 3 * std::min(std::abs(x), std::abs(y)) <= r;
      default: return square <= r * r && 4 * square >= r * r;
    }
  });
}

void draw_texture(Canvas canvas, int32_t label, Draws& draws) {
  const int32_t w = 2 + draws.below(canvas.size / 8 - 1);   // half a period
  const int32_t left = draws.below(2 * w), top = draws.below(2 * w);
  paint(canvas, draws, [=](int32_t px, int32_t py) {
    const int32_t x = px + left, y = py + top;
    const auto from_middle = [w](int32_t position) { return position % (2 * w) - w; };
    switch (label) {
      case 0: return y / w % 2 == 0;
      case 1: return x / w % 2 == 0;
      case 2: return (x + y) / w % 2 == 0;
      case 3: return (x / w + y / w) % 2 == 0;
      default: return 16 * (from_middle(x) * from_middle(x) + from_middle(y) * from_middle(y)) <= 9 * w * w;
    }
  });
}

struct Point {
  int32_t x, y;
};

// Corners in [1, size − 1]². The third of an equilateral triangle is the second, turned by 60° about the first, cut
// to whole pixels.
std::array<Point, 3> triangle_corners(int32_t label, int32_t size, Draws& draws) {
  const auto corner = [&] { return Point{1 + draws.below(size - 1), 1 + draws.below(size - 1)}; };
  const auto is_within = [&](Point p) { return std::min(p.x, p.y) >= 1 && std::max(p.x, p.y) <= size - 1; };
  for (;;) {
    const Point a = corner(), b = corner();
    if (label == 1) return {a, b, corner()};
    const double x = b.x - a.x, y = b.y - a.y, cosine = 0.5, sine = std::sqrt(3.0) / 2;
    const Point c{static_cast<int32_t>(a.x + (x * cosine + y * sine)), static_cast<int32_t>(a.y + (-x * sine + y * cosine))};
    if (is_within(c)) return {a, b, c};
  }
}

// Around each corner discs of radius 2 about 4 offsets in {−1, 0, 1}² and about their mirror images.
void draw_triangle(Canvas canvas, int32_t label, Draws& draws) {
  for (const Point corner : triangle_corners(label, canvas.size, draws))
    for (int disc = 0; disc < 4; ++disc) {
      const Point offset{draws.below(3) - 1, draws.below(3) - 1};
      for (const int32_t mirror : {1, -1})
        for (int32_t dy = -2; dy <= 2; ++dy)
          for (int32_t dx = -2; dx <= 2; ++dx) {
            const int32_t x = corner.x + mirror * offset.x + dx, y = corner.y + mirror * offset.y + dy;
            if (dx * dx + dy * dy > 4 || std::min(x, y) < 0 || std::max(x, y) >= canvas.size) continue;
            for (int32_t c = 0; c < 3; ++c) canvas.at(c, x, y) = static_cast<char>(255);
          }
    }
}

struct Kind {
  const char* name;
  std::vector<std::string> classes;
  void (*draw)(Canvas canvas, int32_t label, Draws& draws);   // on black
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {"shapes", {"circle", "square", "triangle", "cross", "ring"}, draw_shape},
      {"textures", {"horizontal", "vertical", "diagonal", "checks", "dots"}, draw_texture},
      {"triangle", {"equilateral", "other"}, draw_triangle},
  };
  return all;
}

const Kind& find_kind(const std::string& name) {
  const auto found = std::find_if(kinds().begin(), kinds().end(), [&](const Kind& kind) { return name == kind.name; });
  require(found != kinds().end(), "pictures",
          [&] { return text("expected shapes, textures or triangle, found ", shown(name)); });
  return *found;
}

}  // namespace

const std::vector<std::string>& picture_kinds() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> made;
    for (const Kind& kind : kinds()) made.push_back(kind.name);
    return made;
  }();
  return names;
}

const std::vector<std::string>& picture_classes(const std::string& kind) { return find_kind(kind).classes; }

std::string picture_records(const std::string& name, std::string_view part, int64_t count, int64_t size) {
  const Kind& kind = find_kind(name);
  require(size >= 16 && size <= 256, "pictures", [&] { return text("expected a size in [16, 256], found ", size); });
  const int64_t record = 1 + 3 * size * size;
  require(count >= 0 && count < int64_t{1} << 31, "pictures",
          [&] { return text("expected a number of pictures in [0, 2^31), found ", count); });
  require_memory("data", count * record, "use fewer images");
  std::string bytes(static_cast<size_t>(count * record), '\0');
  const auto classes = static_cast<int64_t>(kind.classes.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto begin = static_cast<size_t>(i * record);
    const auto label = static_cast<int32_t>(i % classes);
    Draws draws({.seed = site_of(name), .step = static_cast<uint32_t>(i), .site = site_of(part)}, 0);
    bytes[begin] = static_cast<char>(label);
    kind.draw({bytes, begin + 1, static_cast<int32_t>(size)}, label, draws);
  }
  return bytes;
}

}  // namespace tapir
