// Pixels whose windows lie in the image with the same taps make one tile, (pixels, channels), whose sums stay in registers;
// taps beside the image are not among them.
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

std::vector<Stretch> stretches_of(const WindowLine& line, int64_t size, int64_t longest) {
  std::vector<Stretch> all;
  for (int64_t i = 0; i < line.count; ++i) {
    const int64_t at = line.first + i * line.step;
    int64_t first = 0, taps = 0;
    for (int64_t t = 0; t < line.taps; ++t)
      if (at + t * line.tap_step >= 0 && at + t * line.tap_step < size && taps++ == 0) first = t;
    const bool joins = !all.empty() && all.back().first_tap == first && all.back().taps == taps && all.back().count < longest;
    if (joins) ++all.back().count;
    else all.push_back({i, 1, first, taps});
  }
  return all;
}

// A list in the memory of the device.
template <class Number> class OnDevice {
 public:
  OnDevice(const std::vector<Number>& list, Device device)
      : bytes_(Tensor::from(std::vector<uint8_t>(reinterpret_cast<const uint8_t*>(list.data()),
                                                 reinterpret_cast<const uint8_t*>(list.data() + list.size())),
                            {static_cast<int64_t>(list.size() * sizeof(Number))}, device)),
        count_(static_cast<int64_t>(list.size())) {}
  int64_t count() const { return count_; }
  const Number* data() const { return reinterpret_cast<const Number*>(bytes_.data<uint8_t>()); }

 private:
  Tensor bytes_;
  int64_t count_;
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
  WindowLine rows, columns;

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
          static_cast<int>(tile->pixels), static_cast<int>(channels), 1, static_cast<int>(tile->taps),
          [&](int) {
            return [=](T total, int p, int k, int c) {
              return std::fma(a[list[k].place + p * step + c], weights[list[k].weight + c], total);
            };
          },
          [&](int p, int c, T value) { out[p * out_step + c] = value; });
    }
  }
};

constexpr int64_t most_parts = 16, widest_panel = 128;

// A block has the channels of a panel and the images of a part.
template <class T> struct DepthwiseForWeight {
  const T *x, *g;
  T* w;                      // (part,kh,kw,C)
  const Stretch* stretches;  // of columns
  int64_t images, parts, height, width, channels, panel, count;   // channels of a panel; stretches
  WindowLine rows, columns;

  HD int64_t blocks() const { return parts * ((channels + panel - 1) / panel); }

  template <class B> HD void operator()(const B& block, int64_t index) const {
    const int64_t part = index % parts, channel = index / parts * panel;
    const int n = static_cast<int>(channels - channel < panel ? channels - channel : panel);
    const int taps = static_cast<int>(rows.taps * columns.taps);
    T* const sum = static_cast<T*>(block.memory);
    block.each(taps * n, [&](int i) { sum[i] = T(0); });
    const int64_t step = columns.step * channels, tap_step = columns.tap_step * channels, pixel = channels;
    for (int64_t image = part * images / parts; image < (part + 1) * images / parts; ++image)
      for (int64_t i = 0; i < rows.count; ++i)
        for (int64_t u = 0; u < rows.taps; ++u) {
          const int64_t at = rows.first + i * rows.step + u * rows.tap_step;
          if (at < 0 || at >= height) continue;
          for (const Stretch* s = stretches; s < stretches + count; ++s) {
            const int64_t j = columns.first + s->begin * columns.step + s->first_tap * columns.tap_step;
            const T* const a = x + ((image * height + at) * width + j) * channels + channel;
            const T* const b = g + ((image * rows.count + i) * columns.count + s->begin) * channels + channel;
            block.template accumulate<8>(static_cast<int>(s->taps), n, static_cast<int>(s->count),
                                         sum + (u * columns.taps + s->first_tap) * n, [&](T total, int t, int k, int c) {
                                           return std::fma(a[k * step + t * tap_step + c], b[k * pixel + c], total);
                                         });
          }
        }
    T* const out = w + part * taps * channels + channel;
    block.rows(taps, [&](const auto& team, int t) {
      team.each(n, [&](int64_t c) { out[t * channels + c] = sum[t * n + c]; });
    });
  }
};

}  // namespace

void convolve_depthwise_for_weight(const Tensor& x, const Tensor& g, const Tensor& w, const WindowLine& rows,
                                   const WindowLine& columns) {
  const OnDevice<Stretch> stretches(stretches_of(columns, x.size(2), columns.count), x.device());
  const int64_t parts = std::min(most_parts, x.size(0)), taps = rows.taps * columns.taps, size = w.elements();
  const int64_t panel = taps * widest_panel * static_cast<int64_t>(sizeof(double)) <= largest_block_memory ? widest_panel : 32;
  const Tensor partial = Tensor::empty({parts * size}, x.dtype(), x.device());
  with_float("convolution", x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const DepthwiseForWeight<T> kernel{x.data<T>(), g.data<T>(), partial.data<T>(), stretches.data(), x.size(0), parts,
                                       x.size(1), x.size(2), x.size(3), panel, stretches.count(), rows, columns};
    for_each_block(x.device(), kernel.blocks(), taps * panel * static_cast<int64_t>(sizeof(T)), kernel);
    column_sum(x.device(), parts, size, Columns<T>{partial.data<T>(), size}, w.data<T>());
  });
}

void convolve_depthwise(const Tensor& x, const Tensor& w, const Tensor& y, const WindowLine& rows, const WindowLine& columns) {
  const int64_t channels = x.size(3), width = x.size(2);
  const std::vector<Stretch> down = stretches_of(rows, x.size(1), rows.count), right = stretches_of(columns, width, 8);
  std::vector<Tile> tiles;
  std::vector<Tap> taps;
  for (const Stretch& r : down)
    for (const Stretch& c : right) {
      tiles.push_back({r.begin, r.count, c.begin, c.count, static_cast<int64_t>(taps.size()), r.taps * c.taps});
      for (int64_t u = r.first_tap; u < r.first_tap + r.taps; ++u)
        for (int64_t v = c.first_tap; v < c.first_tap + c.taps; ++v)
          taps.push_back(
              {(u * rows.tap_step * width + v * columns.tap_step) * channels,
               ((rows.kernel + u * rows.kernel_step) * w.size(1) + columns.kernel + v * columns.kernel_step) * channels});
    }
  const OnDevice<Tile> tile_list(tiles, x.device());
  const OnDevice<Tap> tap_list(taps, x.device());
  with_float("convolution", x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each_block(
        x.device(), x.size(0) * rows.count, 0,
        Depthwise<T>{x.data<T>(), w.data<T>(), y.data<T>(), tile_list.data(), tap_list.data(), x.size(1), width, channels,
                     rows.count, y.size(1), y.size(2), static_cast<int64_t>(right.size()), rows, columns});
  });
}

}  // namespace tapir
