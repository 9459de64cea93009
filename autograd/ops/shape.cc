// Ops that move elements without changing them. Views cost nothing; concat and pad write fresh memory.
#include "autograd/apply.h"
#include "autograd/ops.h"
#include "tensor/elementwise.h"
#include "tensor/view.h"

namespace tapir {

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
Tensor transpose(const Tensor& x, int a, int b) { return apply(Transpose{a, b}, x); }

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
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t length) { return apply(Slice{axis, begin, length}, x); }

// y = x with zeros before and after along an axis;  dx = the slice of g
struct Pad {
  static constexpr const char* name = "pad";
  int axis;
  int64_t before, after, extent = 0;
  Tensor forward(const Tensor& x) {
    axis = normal_axis(name, axis, x.shape());
    require(before >= 0 && after >= 0, name, [&] { return text("widths must not be negative: ", before, " and ", after); });
    extent = x.size(axis);
    const Tensor y = Tensor::zeros(x.shape().with(axis, before + extent + after), x.dtype(), x.device());
    Tensor inner = view::slice(y, axis, before, extent);
    copy_(inner, x);
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {slice(g, axis, before, extent)}; }
};
Tensor pad(const Tensor& x, int axis, int64_t before, int64_t after) { return apply(Pad{axis, before, after}, x); }

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
      total += part.size(axis);
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
Tensor concat(const std::vector<Tensor>& parts, int axis) {
  require(!parts.empty(), Concat::name, [] { return "needs at least one tensor"; });
  return apply(Concat{axis}, parts);
}

// The parts with a new axis of extent 1, side by side along it.
Tensor stack(const std::vector<Tensor>& parts, int axis) {
  require(!parts.empty(), "stack", [] { return "needs at least one tensor"; });
  std::vector<Tensor> layers;
  for (const Tensor& part : parts) {
    require(part.defined(), "stack", [] { return "an input has no value"; });
    require(part.shape() == parts[0].shape(), "stack",
            [&] { return text("shapes differ: ", parts[0].shape(), " and ", part.shape()); });
    layers.push_back(reshape(part, with_new_axis("stack", axis, part.shape())));
  }
  return concat(layers, axis);
}

}  // namespace tapir
