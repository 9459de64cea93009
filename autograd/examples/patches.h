// Windows of images as rows, and back.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/patches.h"

namespace tapir {

struct PatchExample {
  std::string label;
  Shape x;
  int64_t rows, columns;
  PatchOptions options{};
  bool may_vanish = false;

  Shape windows() const {
    const auto count = [&](int64_t size, int64_t kernel) {
      int64_t n = 0;
      while (n * options.stride - options.padding + (kernel - 1) * options.dilation < size + options.padding) ++n;
      return n;
    };
    return {x[0], count(x[1], rows), count(x[2], columns), rows * columns * x[3]};
  }

  // Where element `at` of the windows is in the image, or −1 for the zeros beside it.
  int64_t place(const Index& at) const {
    const int64_t c = at[3] % x[3], v = at[3] / x[3] % columns, u = at[3] / x[3] / columns;
    const int64_t i = at[1] * options.stride - options.padding + u * options.dilation;
    const int64_t j = at[2] * options.stride - options.padding + v * options.dilation;
    if (i < 0 || i >= x[1] || j < 0 || j >= x[2]) return -1;
    return ((at[0] * x[1] + i) * x[2] + j) * x[3] + c;
  }
};

inline std::vector<PatchExample> patch_examples() {
  return {{"small", {1, 2, 3, 1}, 2, 2},
          {"3 × 3", {2, 4, 5, 3}, 3, 3, {.padding = 1}},
          {"patches side by side", {1, 4, 6, 2}, 2, 3, {.stride = 3}},
          {"1 × 2, padding, stride 2", {2, 3, 5, 1}, 2, 2, {.stride = 2, .padding = 1}},
          {"dilation", {1, 6, 5, 2}, 2, 3, {.padding = 2, .dilation = 2}},
          {"one element", {1, 1, 1, 1}, 1, 1},
          {"none", {0, 3, 3, 2}, 2, 2, {}, true},
          {"several ranges", {1, 100, 90, 9}, 2, 2, {.stride = 2}}};
}

template <> struct Examples<Unfold> {
  static OpExamples all() {
    std::vector<Example> rows;
    for (const PatchExample& e : patch_examples())
      rows.push_back({.label = e.label,
                      .function = [=](const std::vector<Tensor>& in) { return unfold(in[0], e.rows, e.columns, e.options); },
                      .inputs = {{e.x}},
                      .reference = [=](const Arrays& in) {
                        return build(e.windows(), [&](const Index& at) {
                          const int64_t place = e.place(at);
                          return place < 0 ? 0 : in[0].values[place];
                        });
                      },
                      .may_vanish = e.may_vanish});
    const Tensor x = zeros({2, 5, 4, 3});
    return {.op = "unfold",
            .rows = std::move(rows),
            .errors = {{[] { unfold(zeros({5, 4, 3}), 2, 2); }, {"unfold", "x (B,H,W,C)", "[5,4,3]"}},
                       {[=] { unfold(x, 2, 5); }, {"unfold", "window of 5", "on 4 places", "[2,5,4,3]"}},
                       {[=] { unfold(x, 2, 2, {.stride = 0}); }, {"unfold", "stride must be in [1, ", "got 0"}},
                       {[=] { unfold(x, 2, 2, {.padding = 2}); }, {"unfold", "padding must be in [0, 1], got 2"}},
                       {[=] { unfold(x, 2, 2, {.dilation = -1}); }, {"unfold", "dilation must be in [1, ", "got -1"}}}};
  }
};

template <> struct Examples<Fold> {
  static OpExamples all() {
    std::vector<Example> rows;
    for (const PatchExample& e : patch_examples())
      rows.push_back({.label = e.label,
                      .function = [=](const std::vector<Tensor>& in) {
                        return fold(in[0], e.x[1], e.x[2], e.rows, e.columns, e.options);
                      },
                      .inputs = {{e.windows()}},
                      .reference = [=](const Arrays& in) {
                        Array image{e.x, std::vector<double>(e.x.elements(), 0)};
                        build(e.windows(), [&](const Index& index) {
                          const int64_t place = e.place(index);
                          return place < 0 ? 0 : image.values[place] += at(in[0], index);
                        });
                        return image;
                      },
                      .may_vanish = e.may_vanish});
    return {.op = "fold",
            .rows = std::move(rows),
            .errors = {{[] { fold(zeros({4, 3, 12}), 5, 4, 2, 2); }, {"fold", "windows (B,H',W',rows·columns·C)", "[4,3,12]"}},
                       {[] { fold(zeros({2, 4, 4, 12}), 5, 4, 2, 2); },
                        {"fold", "an image of [5,4] has [4,3] windows of [2,2]", "[2,4,4,12]"}},
                       {[] { fold(zeros({2, 4, 3, 10}), 5, 4, 2, 2); }, {"fold", "windows of [2,2]", "[2,4,3,10]"}}}};
  }
};

}  // namespace tapir
