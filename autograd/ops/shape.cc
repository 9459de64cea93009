// Ops that move elements without changing them. Views cost nothing; concat, pad and what follows them write fresh memory.
#include "autograd/ops/shape.h"

#include "autograd/apply.h"
#include "tensor/elementwise.h"
#include "tensor/view.h"

namespace tapir {
namespace {

// y_ij = x_ij where lowest ≤ j − i ≤ highest, else 0; rows of matrices (M,N)
template <class T> struct BandRow {
  const T* x;
  T* y;
  int64_t m, n, lowest, highest;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* from = x + row * n;
    T* to = y + row * n;
    const int64_t i = row % m;
    team.each(n, [&](int64_t j) { to[j] = j - i >= lowest && j - i <= highest ? from[j] : T(0); });
  }
};

Tensor band(const char* op, const Tensor& x_, int64_t lowest, int64_t highest) {
  require(x_.rank() >= 2, op, [&] { return text("needs two axes, got shape ", x_.shape()); });
  const Tensor x = x_.contiguous(), y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const int64_t m = x.size(-2), n = x.size(-1);
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (n > 0)
      for_each_row(x.device(), x.elements() / n, n, BandRow<T>{x.data<T>(), y.data<T>(), m, n, lowest, highest});
  });
  return y;
}

constexpr int64_t no_bound = std::numeric_limits<int64_t>::max();

}  // namespace

// y = x in another shape;  dx = g in x's shape
struct Reshape {
  static constexpr const char* name = "reshape";
  Shape to, from{};
  Tensor forward(const Tensor& x) {
    from = x.shape();
    return view::reshape(x, to);
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {reshape(g, from)}; }
};
Tensor reshape(const Tensor& x, const Shape& shape) { return apply(Reshape{shape}, x); }

// y = x with two axes exchanged;  dx = g with them exchanged back
struct Transpose {
  static constexpr const char* name = "transpose";
  int a, b;
  Tensor forward(const Tensor& x) { return view::transpose(x, a, b); }
  Gradients backward(const Tensor& g, const Backward&) const { return {transpose(g, a, b)}; }
};
Tensor transpose(const Tensor& x, Axis a, Axis b) { return apply(Transpose{a, b}, x); }

// y = elements begin … begin + length − 1 of an axis;  dx = g with zeros around
struct Slice {
  static constexpr const char* name = "slice";
  int axis;
  int64_t begin, length, extent = 0;
  Tensor forward(const Tensor& x) {
    axis = normal_axis(name, axis, x.shape());
    extent = x.size(axis);
    return view::slice(x, axis, begin, length);
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {pad(g, axis, begin, extent - begin - length)}; }
};
Tensor slice(const Tensor& x, Axis axis, Count begin, Count length) { return apply(Slice{axis, begin, length}, x); }

// y = x with zeros before and after along an axis;  dx = the slice of g
struct Pad {
  static constexpr const char* name = "pad";
  int axis;
  int64_t before, after, extent = 0;
  Tensor forward(const Tensor& x) {
    axis = normal_axis(name, axis, x.shape());
    require(before >= 0 && after >= 0, name, [&] {
      return text("widths must not be negative: ", before, " and ", after, "; axis ", axis, " of shape ", x.shape());
    });
    require(std::max(before, after) <= Shape::max_elements, name, [&] {
      return text("widths ", before, " and ", after, " are more than any tensor has; axis ", axis, " of shape ", x.shape());
    });
    extent = x.size(axis);
    const Tensor y = Tensor::zeros(x.shape().with(axis, before + extent + after), x.dtype(), x.device());
    Tensor inner = view::slice(y, axis, before, extent);
    copy_(inner, x);
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {slice(g, axis, before, extent)}; }
};
Tensor pad(const Tensor& x, Axis axis, Count before, Count after) { return apply(Pad{axis, before, after}, x); }

// y = x repeated along axes of extent 1 and along new axes in front;  dx = g summed over them
struct Expand {
  static constexpr const char* name = "expand";
  static constexpr bool broadcasts = true;
  Shape to;
  Tensor forward(const Tensor& x) { return view::expand(x, to); }
  Gradients backward(const Tensor& g, const Backward&) const { return {g}; }
};
Tensor expand(const Tensor& x, const Shape& shape) { return apply(Expand{shape}, x); }

// y = the parts side by side along an axis;  each part's gradient is its slice of g
struct Concat {
  static constexpr const char* name = "concat";
  int axis;
  std::vector<int64_t> lengths{};
  Tensor forward(const std::vector<Tensor>& parts) {
    axis = normal_axis(name, axis, parts[0].shape());
    int64_t total = 0;
    for (const Tensor& part : parts) {
      require_same_kind(name, {&parts[0], &part});
      require(part.rank() == parts[0].rank() && part.shape().with(axis, 0) == parts[0].shape().with(axis, 0), name,
              [&] { return text("shapes ", parts[0].shape(), " and ", part.shape(), " differ beside axis ", axis); });
      lengths.push_back(part.size(axis));
      total = std::min(total + part.size(axis), Shape::max_elements + 1);   // one too many is enough
    }
    const Tensor y = Tensor::empty(parts[0].shape().with(axis, total), parts[0].dtype(), parts[0].device());
    int64_t begin = 0;
    for (const Tensor& part : parts) {
      Tensor place = view::slice(y, axis, begin, part.size(axis));
      copy_(place, part);
      begin += part.size(axis);
    }
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const {
    Gradients gradients;
    int64_t begin = 0;
    for (const int64_t length : lengths) {
      gradients.push_back(slice(g, axis, begin, length));
      begin += length;
    }
    return gradients;
  }
};
Tensor concat(const std::vector<Tensor>& parts, Axis axis) {
  require(!parts.empty(), Concat::name, [] { return "needs at least one tensor"; });
  return apply(Concat{axis}, parts);
}

// The parts with a new axis of extent 1, side by side along it.
Tensor stack(const std::vector<Tensor>& parts, Axis axis) {
  const Called called("stack");
  require(!parts.empty(), "stack", [] { return "needs at least one tensor"; });
  std::vector<Tensor> layers;
  for (const Tensor& part : parts) {
    require_same_kind("stack", {&parts[0], &part});
    require(part.shape() == parts[0].shape(), "stack",
            [&] { return text("shapes differ: ", parts[0].shape(), " and ", part.shape()); });
    layers.push_back(reshape(part, with_new_axis("stack", axis, part.shape())));
  }
  return concat(layers, axis);
}

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  const Called called("permute");
  require_same_kind("permute", {&x});
  std::vector<int> place, wanted;   // place[a]: the axis of x that y's axis a is now
  for (int axis = 0; axis < x.rank(); ++axis) place.push_back(axis);
  for (const int axis : axes) wanted.push_back(axis < 0 ? axis + x.rank() : axis);
  require(std::is_permutation(wanted.begin(), wanted.end(), place.begin(), place.end()), "permute", [&] {
    std::string list;
    for (const int axis : axes) list += text(list.empty() ? "" : ",", axis);
    return text("axes (", list, ") are not those of shape ", x.shape(), " in another order");
  });
  Tensor y = x;
  for (int a = 0; a < x.rank(); ++a)
    if (place[a] != wanted[a]) {
      const auto b = std::find(place.begin() + a, place.end(), wanted[a]);
      y = transpose(y, a, static_cast<int>(b - place.begin()));
      std::swap(place[a], *b);
    }
  return y;
}

Tensor pixel_shuffle(const Tensor& x, Count r) {
  const Called called("pixel_shuffle");
  require_same_kind("pixel_shuffle", {&x});
  require(x.rank() == 4 && r >= 1 && x.size(3) % r == 0 && x.size(3) / r % r == 0, "pixel_shuffle",
          [&] { return text("images must be (B,H,W,C r²) with r ≥ 1, got shape ", x.shape(), " and r = ", r.value); });
  const int64_t batch = x.size(0), height = x.size(1), width = x.size(2), channels = x.size(3) / r / r;
  const Tensor parts = permute(reshape(x, {batch, height, width, channels, r, r}), {0, 1, 4, 2, 5, 3});
  return reshape(parts, {batch, height * r, width * r, channels});
}

Tensor pixel_unshuffle(const Tensor& y, Count r) {
  const Called called("pixel_unshuffle");
  require_same_kind("pixel_unshuffle", {&y});
  require(y.rank() == 4 && r >= 1 && y.size(1) % r == 0 && y.size(2) % r == 0, "pixel_unshuffle",
          [&] { return text("images must be (B,H r,W r,C) with r ≥ 1, got shape ", y.shape(), " and r = ", r.value); });
  const int64_t batch = y.size(0), height = y.size(1) / r, width = y.size(2) / r, channels = y.size(3);
  const Tensor parts = permute(reshape(y, {batch, height, r, width, r, channels}), {0, 1, 3, 5, 2, 4});
  return reshape(parts, {batch, height, width, channels * r * r});
}

// y = x with an axis reversed;  dx = g with it reversed back
struct Flip {
  static constexpr const char* name = "flip";
  int axis;
  Tensor forward(const Tensor& x) {
    axis = normal_axis(name, axis, x.shape());
    Strides strides = x.strides();
    strides[axis] = -strides[axis];
    return x.strided(x.shape(), strides, std::max<int64_t>(0, x.size(axis) - 1) * x.stride(axis)).copy();
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {flip(g, axis)}; }
};
Tensor flip(const Tensor& x, Axis axis) { return apply(Flip{axis}, x); }

// y_ij = x_ij where j − i ≤ k, else 0;  dx = the same of g
struct Tril {
  static constexpr const char* name = "tril";
  int64_t k;
  Tensor forward(const Tensor& x) { return band(name, x, -no_bound, k); }
  Gradients backward(const Tensor& g, const Backward&) const { return {tril(g, k)}; }
};
Tensor tril(const Tensor& x, Count k) { return apply(Tril{k}, x); }

// y_ij = x_ij where j − i ≥ k, else 0;  dx = the same of g
struct Triu {
  static constexpr const char* name = "triu";
  int64_t k;
  Tensor forward(const Tensor& x) { return band(name, x, k, no_bound); }
  Gradients backward(const Tensor& g, const Backward&) const { return {triu(g, k)}; }
};
Tensor triu(const Tensor& x, Count k) { return apply(Triu{k}, x); }

}  // namespace tapir
