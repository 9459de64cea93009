// Convolutions. Each of the three ops is linear in both of its inputs, and its gradients are the other two:
// tensor/convolution.h.
#include "autograd/ops/convolution.h"

#include <limits>

#include "autograd/apply.h"
#include "autograd/ops/shape.h"
#include "tensor/convolution.h"

namespace tapir {
namespace {

AxisWindows windows(int64_t size, int64_t kernel, const ConvolutionOptions& options) {
  return {size, kernel, options.stride, options.padding, options.dilation};
}

// The least size that `count` windows need, and `added` more.
template <class Of>
AxisWindows windows_of_count(const char* op, int64_t count, int64_t kernel, const ConvolutionOptions& options, int64_t added,
                         const Of& of) {
  AxisWindows all = windows(0, kernel, options);
  require_window(op, all, of);
  require(0 <= added && added < all.stride, op,
          [&] { return text("added must be in [0, ", all.stride - 1, "], got ", added, "; ", of()); });
  constexpr int64_t limit = std::numeric_limits<int32_t>::max();
  require(1 <= count && count <= limit, op,
          [&] { return text("g must have 1 to ", limit, " places, found ", count, "; ", of()); });
  all.size = (count - 1) * all.stride + all.reach() - 2 * all.padding + added;
  require(all.size >= 1, op, [&] {
    return text("padding ", all.padding, " on both sides leaves ", all.size, " of the places; ", of());
  });
  return all;
}

// Of images (B,H,W,C) and weights (kh,kw,C/groups,O), or of sequences without H and kh.
void require_operands(const char* op, const Tensor& x, const Tensor& weight, int rank, const char* form) {
  require(x.defined() && weight.defined(), op, [] { return "an input has no value"; });
  require_same_kind(op, {&x, &weight});
  with_float(op, x.dtype(), [](auto) {});
  require(x.rank() == rank && weight.rank() == rank, op,
          [&] { return text("needs ", form, ", got ", x.shape(), " and ", weight.shape()); });
}

auto shapes_of(const Tensor& a, const Tensor& b) {
  return [&] { return text("shapes are ", a.shape(), " and ", b.shape()); };
}

void require_plane(const char* op, const Plane& plane, const Tensor& a, const Tensor& b) {
  require_windows(op, plane.rows, shapes_of(a, b));
  require_windows(op, plane.columns, shapes_of(a, b));
}

void require_groups(const char* op, int64_t groups, int64_t channels, int64_t outputs, const Tensor& a, const Tensor& b) {
  require(groups >= 1 && channels % groups == 0 && outputs % groups == 0, op, [&] {
    return text(channels, " channels and ", outputs, " outputs do not make ", groups, " groups; shapes are ", a.shape(),
                " and ", b.shape());
  });
}

// x has C channels, the weight C/groups.
void require_channels(const char* op, int64_t groups, const Tensor& x, const Tensor& weight) {
  require_groups(op, groups, x.size(-1), weight.size(-1), x, weight);
  require(weight.size(-2) == x.size(-1) / groups, op, [&] {
    return text("x ", x.shape(), " has ", x.size(-1), " channels, weight ", weight.shape(), " is for ", weight.size(-2),
                " in each of ", groups, " groups");
  });
}

// g has O channels, as the weight.
void require_outputs(const char* op, int64_t groups, const Tensor& g, const Tensor& weight) {
  require(g.size(-1) == weight.size(-1), op, [&] {
    return text("g ", g.shape(), " has ", g.size(-1), " channels, weight ", weight.shape(), " is for ", weight.size(-1));
  });
  require_groups(op, groups, groups, weight.size(-1), g, weight);
}

Tensor with_row(const Tensor& x) { return reshape(x, {x.size(0), 1, x.size(1), x.size(2)}); }   // (B,T,C) → (B,1,T,C)
Tensor without_row(const Tensor& x) { return reshape(x, {x.size(0), x.size(2), x.size(3)}); }
Tensor weight_with_row(const Tensor& w) { return reshape(w, {1, w.size(0), w.size(1), w.size(2)}); }

Tensor convolution(const ConvolutionPlan& plan, const Tensor& x, const Tensor& weight);
Tensor transposed(const ConvolutionPlan& plan, const Tensor& g, const Tensor& weight);
Tensor for_weight(const ConvolutionPlan& plan, const Tensor& x, const Tensor& g);

}  // namespace

struct Conv2d {
  static constexpr const char* name = "conv2d";
  ConvolutionPlan plan;
  Saved x{}, weight{};
  Tensor forward(const Tensor& x_, const Tensor& weight_) {
    x = x_;
    weight = weight_;
    return convolve(plan, x_.contiguous(), weight_.contiguous());
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    return {at.needs(0) ? transposed(plan, g, *weight) : Tensor(), at.needs(1) ? for_weight(plan, *x, g) : Tensor()};
  }
};

struct ConvTranspose2d {
  static constexpr const char* name = "conv_transpose2d";
  ConvolutionPlan plan;
  Saved g{}, weight{};
  Tensor forward(const Tensor& g_, const Tensor& weight_) {
    g = g_;
    weight = weight_;
    return convolve_transposed(plan, g_.contiguous(), weight_.contiguous());
  }
  Gradients backward(const Tensor& u, const Backward& at) const {
    return {at.needs(0) ? convolution(plan, u, *weight) : Tensor(), at.needs(1) ? for_weight(plan, u, *g) : Tensor()};
  }
};

struct Conv2dWeight {
  static constexpr const char* name = "conv2d_weight";
  ConvolutionPlan plan;
  Saved x{}, g{};
  Tensor forward(const Tensor& x_, const Tensor& g_) {
    x = x_;
    g = g_;
    return convolve_for_weight(plan, x_.contiguous(), g_.contiguous());
  }
  Gradients backward(const Tensor& v, const Backward& at) const {
    return {at.needs(0) ? transposed(plan, *g, v) : Tensor(), at.needs(1) ? convolution(plan, *x, v) : Tensor()};
  }
};

namespace {
Tensor convolution(const ConvolutionPlan& plan, const Tensor& x, const Tensor& weight) {
  return apply(Conv2d{plan}, x, weight);
}
Tensor transposed(const ConvolutionPlan& plan, const Tensor& g, const Tensor& weight) {
  return apply(ConvTranspose2d{plan}, g, weight);
}
Tensor for_weight(const ConvolutionPlan& plan, const Tensor& x, const Tensor& g) { return apply(Conv2dWeight{plan}, x, g); }
}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const ConvolutionOptions& options) {
  constexpr const char* name = Conv2d::name;
  require_operands(name, x, weight, 4, "x (B,H,W,C) and weight (kh,kw,C/groups,O)");
  const Plane plane{windows(x.size(1), weight.size(0), options), windows(x.size(2), weight.size(1), options)};
  require_plane(name, plane, x, weight);
  require_channels(name, options.groups, x, weight);
  return convolution({plane, options.groups}, x, weight);
}

Tensor conv1d(const Tensor& x, const Tensor& weight, const ConvolutionOptions& options) {
  constexpr const char* name = "conv1d";
  const Called called(name);
  require_operands(name, x, weight, 3, "x (B,T,C) and weight (k,C/groups,O)");
  const Plane plane{{}, windows(x.size(1), weight.size(0), options)};
  require_plane(name, plane, x, weight);
  require_channels(name, options.groups, x, weight);
  return without_row(convolution({plane, options.groups}, with_row(x), weight_with_row(weight)));
}

Tensor conv_transpose2d(const Tensor& g, const Tensor& weight, const ConvolutionOptions& options, Count added) {
  constexpr const char* name = ConvTranspose2d::name;
  require_operands(name, g, weight, 4, "g (B,H',W',O) and weight (kh,kw,C/groups,O)");
  const auto along = [&](int axis) {
    return windows_of_count(name, g.size(1 + axis), weight.size(axis), options, added, shapes_of(g, weight));
  };
  const Plane plane{along(0), along(1)};
  require_outputs(name, options.groups, g, weight);
  return transposed({plane, options.groups}, g, weight);
}

Tensor conv_transpose1d(const Tensor& g, const Tensor& weight, const ConvolutionOptions& options, Count added) {
  constexpr const char* name = "conv_transpose1d";
  const Called called(name);
  require_operands(name, g, weight, 3, "g (B,T',O) and weight (k,C/groups,O)");
  const Plane plane{{}, windows_of_count(name, g.size(1), weight.size(0), options, added, shapes_of(g, weight))};
  require_outputs(name, options.groups, g, weight);
  return without_row(transposed({plane, options.groups}, with_row(g), weight_with_row(weight)));
}

Tensor conv2d_weight(const Tensor& x, const Tensor& g, Count rows, Count columns, const ConvolutionOptions& options) {
  constexpr const char* name = Conv2dWeight::name;
  require_operands(name, x, g, 4, "x (B,H,W,C) and g (B,H',W',O)");
  const Plane plane{windows(x.size(1), rows, options), windows(x.size(2), columns, options)};
  require_plane(name, plane, x, g);
  require_groups(name, options.groups, x.size(3), g.size(3), x, g);
  require(x.size(0) == g.size(0) && g.size(1) == plane.rows.count() && g.size(2) == plane.columns.count(), name, [&] {
    return text("x ", x.shape(), " makes [", x.size(0), ",", plane.rows.count(), ",", plane.columns.count(), "] windows of [",
                rows.value, ",", columns.value, "], g has ", g.shape());
  });
  return for_weight({plane, options.groups}, x, g);
}

}  // namespace tapir
