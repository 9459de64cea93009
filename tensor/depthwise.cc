// Pixels whose windows lie in the image with the same taps make one tile, (pixels, channels), whose sums stay in registers; taps
// beside the image are not among them.
#include "tensor/depthwise.h"

#include <cmath>
#include <vector>

#include "tensor/blocks.h"

namespace tapir {
namespace {

// Neighbours on a line that have the same taps in the image: t = first_tap … first_tap + taps − 1.
struct Stretch {
  int64_t begin, count, first_tap, taps;
};

std::vector<Stretch> stretches_of(const Line& line, int64_t size) {
  std::vector<Stretch> all;
  for (int64_t i = 0; i < line.count; ++i) {
    const int64_t at = line.first + i * line.step;
    int64_t first = 0, taps = 0;
    for (int64_t t = 0; t < line.taps; ++t)
      if (at + t * line.tap_step >= 0 && at + t * line.tap_step < size && taps++ == 0) first = t;
    if (!all.empty() && all.back().first_tap == first && all.back().taps == taps) ++all.back().count;
    else all.push_back({i, 1, first, taps});
  }
  return all;
}

template <class Number> class OnDevice {
 public:
  OnDevice(const std::vector<Number>& list, Device device)
      : bytes_(Tensor::from(std::vector<uint8_t>(reinterpret_cast<const uint8_t*>(list.data()),
                                                 reinterpret_cast<const uint8_t*>(list.data() + list.size())),
                            {static_cast<int64_t>(list.size() * sizeof(Number))}, device)) {}
  const Number* data() const { return reinterpret_cast<const Number*>(bytes_.data<uint8_t>()); }

 private:
  Tensor bytes_;
};

// A tile: a stretch of columns of one of the rows of a stretch of rows.
struct Tile {
  int64_t row, rows, column, pixels, first, taps;   // the last two: its part of the list of taps
};
struct Tap {
  int64_t place, weight;   // in x from where the window begins, in w
};

template <class T> struct Depthwise {
  const T *x, *w;
  T* y;
  const Tile* tiles;     // in the order of rows; those of a row have the same `row` and `rows`
  const Tap* taps;
  int64_t height, width, channels, lines, y_height, y_width, across;   // across: tiles of a row
  Line rows, columns;

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int64_t image = index / lines, i = index % lines;
    const Tile* tile = tiles;
    while (i >= tile->row + tile->rows) tile += across;
    const int64_t step = columns.step * channels, out_step = columns.out_step * channels;
    for (const Tile* const end = tile + across; tile < end; ++tile) {
      const int64_t at = rows.first + i * rows.step, j = columns.first + tile->column * columns.step;
      const T* const a = x + ((image * height + at) * width + j) * channels;
      T* const out = y + ((image * y_height + rows.out + i * rows.out_step) * y_width + columns.out +
                          tile->column * columns.out_step) * channels;
      const Tap* const list = taps + tile->first;
      const T* const weights = w;
      block.template fold<T, 8>(
          static_cast<int>(tile->pixels), static_cast<int>(channels), static_cast<int>(tile->taps),
          [&](T total, int p, int k, int c) { return std::fma(a[list[k].place + p * step + c], weights[list[k].weight + c], total); },
          [&](int p, int c, T value) { out[p * out_step + c] = value; });
    }
  }
};

}  // namespace

void convolve_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const Line& rows, const Line& columns) {
  const int64_t channels = x.size(3), width = x.size(2);
  const std::vector<Stretch> down = stretches_of(rows, x.size(1)), right = stretches_of(columns, width);
  std::vector<Tile> tiles;
  std::vector<Tap> taps;
  for (const Stretch& r : down)
    for (const Stretch& c : right) {
      tiles.push_back({r.begin, r.count, c.begin, c.count, static_cast<int64_t>(taps.size()), r.taps * c.taps});
      for (int64_t u = r.first_tap; u < r.first_tap + r.taps; ++u)
        for (int64_t v = c.first_tap; v < c.first_tap + c.taps; ++v)
          taps.push_back({(u * rows.tap_step * width + v * columns.tap_step) * channels,
                          ((rows.kernel + u * rows.kernel_step) * w.size(1) + columns.kernel + v * columns.kernel_step) * channels});
    }
  const OnDevice<Tile> tile_list(tiles, x.device());
  const OnDevice<Tap> tap_list(taps, x.device());
  with_float("convolution", x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each_block(x.device(), x.size(0) * rows.count, 0,
                   Depthwise<T>{x.data<T>(), w.data<T>(), y.data<T>(), tile_list.data(), tap_list.data(), x.size(1), width, channels,
                                rows.count, y.size(1), y.size(2), static_cast<int64_t>(right.size()), rows, columns});
  });
}

}  // namespace tapir
