// The kernels of convolution.cc, tiled for the engine of blocks.
//
// A convolution is a sum of matrix products, one for each place in the window: pixels × channels of x, times channels ×
// outputs of w. Nothing is unfolded: windows are read where they lie in x, around which zeros were copied if windows reach
// beyond. Where the places of a row of the window are neighbours in memory, they and their channels make one product ("run").
#pragma once
#include <algorithm>
#include <cmath>

#include "tensor/blocks.h"
#include "tensor/windows.h"

namespace tapir {

// Columns of a group's weights, rounded up to 16 by zeros, in panels of 32 and at the end, where half is enough, of 16.
struct Panels {
  int64_t columns;
  HD int64_t padded() const { return (columns + 15) / 16 * 16; }
  HD int64_t count() const { return (padded() + 31) / 32; }
  HD int width(int64_t panel) const { return padded() - 32 * panel < 32 ? 16 : 32; }
};

template <class T> inline constexpr int tile_height = sizeof(T) == 4 ? 8 : 4;   // rows that Block::accumulate has in registers
inline constexpr int64_t tile_pixels = 64, tile_rows = 192, tile_depth = 256, shallow = 256;

// Images (count,H,W,C) with zeros around; channels in groups, each rounded up to `lanes`.
template <class T> struct PadRow {
  const T* x;
  T* y;
  int64_t height, width, top, left, padded_height, padded_width, groups, channels, lanes;   // channels and lanes of a group

  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t image = row / padded_height, i = row % padded_height - top, pixel = groups * lanes;
    const T* from = x + (image * height + i) * width * groups * channels;
    T* to = y + row * padded_width * pixel;
    if (i < 0 || i >= height) {
      team.each(padded_width * pixel, [&](int64_t k) { to[k] = T(0); });
    } else if (channels == lanes) {
      team.each(left * pixel, [&](int64_t k) { to[k] = T(0); });
      team.each(width * pixel, [&](int64_t k) { to[left * pixel + k] = from[k]; });
      team.each((padded_width - left - width) * pixel, [&](int64_t k) { to[(left + width) * pixel + k] = T(0); });
    } else {
      team.each(padded_width * pixel, [&](int64_t k) {
        const int64_t j = k / pixel - left, group = k % pixel / lanes, c = k % lanes;
        const bool inside = j >= 0 && j < width && c < channels;
        to[k] = inside ? from[(j * groups + group) * channels + c] : T(0);
      });
    }
  }
};

// Weights as panels: (group, panel, row tap, column tap, depth, column of the panel).
template <class T> struct PackRow {
  const T* w;   // (kh,kw,C/groups,O)
  T* packed;
  WindowLine rows, columns;
  Panels panels;
  int64_t kernel_columns, tap, depth, depth_step, column_step, group_step;   // tap: numbers of one place of the window

  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t taps = rows.taps * columns.taps, all = taps * depth;
    const int64_t k = row % all, panel = row / all % panels.count(), group = row / all / panels.count();
    const int64_t u = k / depth / columns.taps, v = k / depth % columns.taps, first = 32 * panel;
    const int64_t place = (rows.kernel + u * rows.kernel_step) * kernel_columns + columns.kernel + v * columns.kernel_step;
    const int width = panels.width(panel);
    const T* from = w + place * tap + k % depth * depth_step + group * group_step;
    T* to = packed + (group * panels.padded() + first) * all + k * width;
    team.each(width, [&](int64_t j) { to[j] = first + j < panels.columns ? from[(first + j) * column_step] : T(0); });
  }
};

// Places of pixels in an image: numbers from one to the next.
struct Steps {
  int64_t first, down, across;
  HD int64_t place(int64_t i, int64_t j) const { return first + i * down + j * across; }
};

struct PlacePixel {   // of each, in the order of rows
  int64_t* place;
  Steps steps;
  int64_t columns;
  HD void operator()(int64_t p) const { place[p] = steps.place(p / columns, p % columns); }
};

// Runs of the taps of a window: `count`, in rows of `across`, each of `depth` numbers that are neighbours in x and in w.
struct Runs {
  int count, across;
  int64_t row_step, column_step;
  int depth;
  HD int64_t place(int run) const {
    return across == 1 ? run * row_step : run / across * row_step + run % across * column_step;   // a division takes its time
  }
};

// A line of pixels, as far as it fits in a tile.
struct Tiles {
  int64_t height, width, length, lines;   // of the image; pixels of a line and lines of a tile
  Tiles(int64_t height, int64_t width)
      : height(height), width(width), length(std::min(width, tile_pixels)), lines(std::min(height, tile_pixels / length)) {}
  HD int64_t across() const { return (width + length - 1) / length; }
  HD int64_t count() const { return (height + lines - 1) / lines * across(); }
};

// y (pixels, columns of a panel) = Σ_run x (pixels, depth) w (depth, columns): a block has a tile of pixels of one image.
template <class T> struct Correlate {
  const T *x, *w;   // padded; packed
  T* y;
  Steps from, to;   // of the pixels: their windows in an image of x, their places in one of y
  Tiles tiles;
  int64_t images, x_image, y_image, groups, depth;   // depth: channels of a group of x
  Runs runs;
  Panels panels;

  HD bool is_shallow() const { return runs.count * runs.depth <= shallow; }   // few weights: all of them stay close
  HD int64_t blocks() const { return groups * panels.count() * images * tiles.count(); }

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int64_t parts = groups * panels.count(), places = images * tiles.count();
    const int64_t part = is_shallow() ? index % parts : index / places;   // of many weights, a panel meets all images in turn
    const int64_t place = is_shallow() ? index / parts : index % places;
    const int64_t tile = place % tiles.count(), image = place / tiles.count();
    const int64_t panel = part % panels.count(), group = part / panels.count();
    const int64_t i = tile / tiles.across() * tiles.lines, j = tile % tiles.across() * tiles.length;
    const int lines = static_cast<int>(tiles.height - i < tiles.lines ? tiles.height - i : tiles.lines);
    const int m = static_cast<int>(tiles.width - j < tiles.length ? tiles.width - j : tiles.length),
              width = panels.width(panel);
    const int64_t real = panels.columns - 32 * panel < width ? panels.columns - 32 * panel : width;
    const T* const a = x + image * x_image + group * depth + from.place(i, j);
    const T* const b = w + (group * panels.padded() + 32 * panel) * runs.count * runs.depth;
    T* const out = y + image * y_image + group * panels.columns + 32 * panel + to.place(i, j);
    if (is_shallow()) {   // all sums of a few pixels stay in registers
      for (int line = 0; line < lines; ++line)
        block.template fold<T, tile_height<T>>(
            m, width, runs.count, runs.depth,
            [&](int run) {
              const T *const pixels = a + line * from.down + runs.place(run), *const weights = b + run * runs.depth * width;
              return [=, step = from.across](T total, int p, int k, int c) {
                return std::fma(pixels[p * step + k], weights[k * width + c], total);
              };
            },
            [&](int p, int c, T value) {
              if (c < real) out[line * to.down + p * to.across + c] = value;
            });
      return;
    }
    T* const sum = static_cast<T*>(block.memory);   // else a run's weights stay close for the whole tile
    block.each(lines * m * width, [&](int k) { sum[k] = T(0); });
    for (int run = 0; run < runs.count; ++run)
      for (int line = 0; line < lines; ++line) {
        const T *const pixels = a + line * from.down + runs.place(run), *const weights = b + run * runs.depth * width;
        block.template accumulate<tile_height<T>>(m, width, runs.depth, sum + line * m * width,
                                                  [=, step = from.across](T total, int p, int k, int c) {
          return std::fma(pixels[p * step + k], weights[k * width + c], total);
        });
      }
    block.rows(lines * m, [&](const auto& team, int p) {
      T* const row = out + p / m * to.down + p % m * to.across;
      team.each(real, [&](int64_t c) { row[c] = sum[p * width + c]; });
    });
  }
};

// w (depth, columns of a panel) += Σ_pixel x (pixel, depth) g (pixel, columns), of a run: a block has some of its depth, and
// the images of one part, as far as they are there. Sums are long, and rounded less where 256 pixels at a time are added up
// first.
template <class T> struct CorrelateForWeight {
  const T *x, *g;        // padded, the channels of g as panels
  T* w;                  // (part, group, panel, run, depth, column)
  const int64_t* from;
  int64_t pixels, begin, end, images, parts;   // begin … end − 1 of all images are in x and g
  int64_t x_image, g_image, groups, depth, tiles;
  Runs runs;
  Panels panels;

  HD int64_t size() const { return groups * panels.padded() * runs.count * runs.depth; }   // of a part
  HD int64_t blocks() const { return parts * groups * panels.count() * runs.count * tiles; }

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int64_t row = index % tiles * tile_rows, column = index / tiles / runs.count;
    const int run = static_cast<int>(index / tiles % runs.count);
    const int64_t panel = column % panels.count(), group = column / panels.count() % groups;
    const int64_t part = column / panels.count() / groups, first = part * images / parts, last = (part + 1) * images / parts;
    if (last <= begin || end <= first) return;
    const int m = static_cast<int>(runs.depth - row < tile_rows ? runs.depth - row : tile_rows), width = panels.width(panel);
    T *const sum = static_cast<T*>(block.memory), *const part_sum = sum + m * width;
    T* const out = w + part * size() + (group * panels.padded() + 32 * panel) * runs.count * runs.depth +
                   (int64_t{run} * runs.depth + row) * width;
    block.each(m * width, [&](int i) { sum[i] = first < begin ? out[i] : T(0); });
    const int64_t pixel_step = groups * panels.padded();
    for (int64_t i = first < begin ? begin : first; i < last && i < end; ++i) {
      const int64_t image = i - begin;
      const T* a = x + image * x_image + group * depth + runs.place(run) + row;
      for (int64_t pixel = 0; pixel < pixels; pixel += tile_depth) {
        const T* b = g + image * g_image + pixel * pixel_step + group * panels.padded() + 32 * panel;
        const int64_t* const window = from + pixel;
        block.each(m * width, [&](int i) { part_sum[i] = T(0); });
        block.template accumulate<tile_height<T>>(
            m, width, static_cast<int>(pixels - pixel < tile_depth ? pixels - pixel : tile_depth), part_sum,
            [&](T total, int i, int k, int j) { return std::fma(a[window[k] + i], b[k * pixel_step + j], total); });
        block.each(m * width, [&](int i) { sum[i] += part_sum[i]; });
      }
    }
    block.each(m * width, [&](int i) { out[i] = sum[i]; });
  }
};

// The weights out of their panels, summed over the parts.
template <class T> struct UnpackRow {
  const T* packed;
  T* w;   // (kh,kw,C/groups,O)
  int64_t parts, groups, taps, depth;
  Panels panels;

  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const int64_t all = taps * depth, size = groups * panels.padded() * all;
    for (int64_t group = 0; group < groups; ++group) {
      T* to = w + (row * groups + group) * panels.columns;
      team.each(panels.columns, [&](int64_t o) {
        const int64_t panel = o / 32;
        const T* from = packed + (group * panels.padded() + 32 * panel) * all + row * panels.width(panel) + o % 32;
        T sum = 0;
        for (int64_t part = 0; part < parts; ++part) sum += from[part * size];
        to[o] = sum;
      });
    }
  }
};

}  // namespace tapir
