// The boundary set of products, reductions, scans, softmax, shapes and indices.
#pragma once
#include "autograd/ops.h"
#include "tests/autograd/boundary_functions.h"

namespace tapir::boundary {

// ---- matrix products: every product counts, also 0 · NaN; other rows and columns are untouched ----------------------

template <>
struct Boundary<Matmul> {
  static Cases cases(double) {
    return {
        two("", matmul, {{2, 2}, {nan, 1, 1, 2}}, {{2, 2}, {1, 0, 0, 1}}, {nan, nan, 1, 2}, {1, 1, 1, 1}, {nan, nan, 3, 3})
            .second({{2, 2, 2, 2}, {2, 2, 2, 2}}),
        two("", matmul, {{2, 2}, {1, 0, 1, 2}}, {{2, 2}, {1, 3, inf, 1}}, {nan, 3, inf, 5}, {4, inf, 4, inf},
            {2, 2, 2, 2}).second({{2, 2, 2, 2}, {2, 2, 2, 2}})};
  }
};

template <>
struct Boundary<Linear> {
  static Cases cases(double) {
    return {two("", linear, {{2, 2}, {1, 2, inf, 0}}, {{2, 2}, {1, 1, nan, 0}}, {3, nan, inf, nan}, {nan, 1, nan, 1},
                {inf, 2, inf, 2}).second({{2, 2, 2, 2}, {2, 2, 2, 2}})};
  }
};

// ---- convolutions: products as above; NaN in an image stays in its windows; windows move every bit -----------------------

template <>
struct Boundary<Conv2d> {
  static Cases cases(double) {
    const auto f = [](const Tensor& x, const Tensor& w) { return conv2d(x, w); };
    return {two("", f, {{1, 1, 4, 1}, {nan, 1, 2, 3}}, {{1, 2, 1, 1}, {1, 2}}, {nan, 5, 8}, {1, 3, 3, 2}, {nan, 6})
                .second({{1, 2, 2, 1}, {3, 3}}),
            two("0 · ∞", f, {{1, 2, 1, 1}, {0, 1}}, {{1, 1, 1, 2}, {inf, 2}}, {nan, 0, inf, 2}, {inf, inf}, {1, 1})
                .second({{2, 2}, {2, 2}})};
  }
};

template <>
struct Boundary<ConvTranspose2d> {
  static Cases cases(double) {
    const auto f = [](const Tensor& g, const Tensor& w) { return conv_transpose2d(g, w); };
    return {two("", f, {{1, 1, 3, 1}, {nan, 1, 2}}, {{1, 2, 1, 1}, {1, 2}}, {nan, nan, 4, 4}, {3, 3, 3}, {nan, nan})
                .second({{2, 2, 2}, {3, 3}})};
  }
};

template <>
struct Boundary<Conv2dWeight> {
  static Cases cases(double) {
    const auto f = [](const Tensor& x, const Tensor& g) { return conv2d_weight(x, g, 1, 2); };
    return {two("", f, {{1, 1, 4, 1}, {1, 2, 3, nan}}, {{1, 1, 3, 1}, {1, 1, 2}}, {9, nan}, {1, 2, 3, 2}, {3, 5, nan})
                .second({{1, 2, 2, 1}, {2, 2, 2}})};
  }
};

template <>
struct Boundary<Unfold> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return unfold(x, 1, 2); }, {{1, 1, 4, 1}, {nan, -0.0, inf, s}},
                {nan, -0.0, -0.0, inf, inf, s}, {1, 2, 2, 1})};
  }
};

template <>
struct Boundary<Fold> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return fold(x, 1, 3, 1, 2); }, {{1, 1, 2, 2}, {nan, s, inf, s}}, {nan, inf, s},
                {1, 1, 1, 1})};
  }
};

// ---- reductions ------------------------------------------------------------------------------------------------------

template <>
struct Boundary<Sum> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return sum(x, 1); }, {{4, 2}, {inf, -inf, nan, 1, -0.0, 0, s, s}},
                {nan, nan, 0, 2 * s}, {1, 1, 1, 1, 1, 1, 1, 1}),
            one("of none", [](const Tensor& x) { return sum(x); }, Input(Shape{0}, Values{}), {0}, {}),
            one("norm 1", [](const Tensor& x) { return norm(x, 1); }, {0, -0.0, s, -2}, {2}, {0, 0, 1, -1})};
  }
};

template <>
struct Boundary<Mean> {
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {one("row", [](const Tensor& x) { return mean(x, 1); }, {{5, 2}, {inf, -inf, nan, 1, L, L, L, -L, s, s}},
                {nan, nan, L, 0, s}, {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5}),
            one("column", [](const Tensor& x) { return mean(x, 0); }, {{4, 2}, {L, 1, L, 1, L, inf, L, -1}}, {L, inf},
                {0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25}),
            one("all", [](const Tensor& x) { return mean(x); }, {-L, -L, -L, -L}, {-L}, {0.25, 0.25, 0.25, 0.25}),
            one("of none", [](const Tensor& x) { return mean(x); }, Input(Shape{0}, Values{}), {nan}, {})};
  }
};

template <>
struct Boundary<SumTo> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return sum_to(x, {2}); }, {{2, 2}, {nan, 1, 2, inf}}, {nan, inf}, {1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Var> {
  static Cases cases(double s) {
    const double L = Sizes(s).large, r = Sizes(s).root_small;
    return {one("", [](const Tensor& x) { return var(x, 1); }, {{4, 2}, {3, 3, nan, 1, 1, 3, inf, 1}}, {0, nan, 2, nan},
                {0, 0, nan, nan, -2, 2, nan, -inf}),
            one("sizes", [](const Tensor& x) { return var(x, 1); },
                {{3, 4}, {L, -L, L, -L, r, -r, r, -r, 3 * L, 3 * L, 3 * L, 3 * L}}, {inf, 4 * r * r / 3, 0},
                {2 * L / 3, -2 * L / 3, 2 * L / 3, -2 * L / 3, 2 * r / 3, -2 * r / 3, 2 * r / 3, -2 * r / 3, 0, 0, 0, 0}),
            one("deviations beyond the type", [](const Tensor& x) { return var(x); }, 
                {{8}, {3 * L, -3 * L, -3 * L, -3 * L, -3 * L, -3 * L, -3 * L, -3 * L}}, {inf},
                {1.5 * L, -1.5 / 7 * L, -1.5 / 7 * L, -1.5 / 7 * L, -1.5 / 7 * L, -1.5 / 7 * L, -1.5 / 7 * L, -1.5 / 7 * L})};
  }
};

template <>
struct Boundary<Extreme<1>> {  // NaN is the largest
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return max(x, 1); },
                {{6, 3}, {1, 1, 1, 0, -0.0, -1, nan, 1, 2, -inf, -inf, -inf, inf, 0, inf, -s, -1, s}},
                {1, 0, nan, -inf, inf, s},
                {1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0.5, 0, 1, 0, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0, 0.5, 0, 0, 1}),
            one("NaN last", [](const Tensor& x) { return max(x); }, {1, 2, nan}, {nan}, {0, 0, 1}),
            one("norm ∞", [](const Tensor& x) { return norm(x, inf, 1); }, {{4, 2}, {0, -0.0, -1, 1, -inf, 0, nan, 1}},
                {0, 1, inf, nan}, {0, 0, -0.5, 0.5, -1, 0, 0, 0})};
  }
};

template <>
struct Boundary<Extreme<-1>> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return min(x, 1); },
                {{5, 3}, {1, 1, 1, 0, 0, 1, nan, 1, 2, inf, inf, inf, s, 1, -s}}, {1, 0, nan, inf, -s},
                {1.0 / 3, 1.0 / 3, 1.0 / 3, 0.5, 0.5, 0, 1, 0, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3, 0, 0, 1})};
  }
};

template <>
struct Boundary<Norm> {
  static Cases cases(double s) {
    const double L = Sizes(s).large, t = Sizes(s).small;
    return {one("", [](const Tensor& x) { return norm(x, 2, 1); }, {{5, 2}, {0, -0.0, s, 0, nan, 1, 3, -4, inf, 1}},
                {0, s, nan, 5, inf}, {0, 0, 1, 0, nan, nan, 0.6, -0.8, nan, 0})
                .second({{0, 0, nan, inf, nan, nan, 0.224, 0.168, 0, 0}}),
            one("large", [](const Tensor& x) { return norm(x, 2); }, {3 * L, -3 * L, 3 * L, -3 * L}, {inf},
                {0.5, -0.5, 0.5, -0.5}).second({Values(4, 1 / L / 6)}),
            one("small", [](const Tensor& x) { return norm(x, 2); }, {3 * t, -4 * t}, {5 * t}, {0.6, -0.8})
                .second({{0.224 / t, 0.168 / t}}),
            one("of none", [](const Tensor& x) { return norm(x, 2); }, Input(Shape{0}, Values{}), {0}, {})};
  }
};

// ---- running totals: nothing before NaN feels it ----------------------------------------------------------------------

template <>
struct Boundary<CumSum> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return cumsum(x, 0); }, {1, nan, 2}, {1, nan, nan}, {3, 2, 1}),
            one("∞", [](const Tensor& x) { return cumsum(x, 0); }, {1, inf, -inf}, {1, inf, nan}, {3, 2, 1}),
            one("reverse", [](const Tensor& x) { return cumsum(x, 0, true); }, {1, nan, 2}, {nan, nan, 2}, {1, 2, 3})};
  }
};

template <>
struct Boundary<LogCumSumExp> {
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    const auto f = [](const Tensor& x) { return logcumsumexp(x, 0); };
    return {one("−∞ alone", f, {-inf, -inf}, {-inf, -inf}, {0, 0}),
            one("−∞ first", f, {-inf, -inf, 0}, {-inf, -inf, 0}, {0, 0, 1}), one("−∞ last", f, {0, -inf}, {0, 0}, {2, 0}),
            one("∞", f, {-inf, 0, inf, 1}, {-inf, 0, inf, inf}, {0, 1, 2, 0}),
            one("NaN", f, {0, nan, 1}, {0, nan, nan}, {nan, nan, nan}).second({{nan, nan, nan}}),
            one("large", f, {L, L}, {L, L}, {1.5, 0.5})};
  }
};

template <>
struct Boundary<LinearRecurrence> {
  static Cases cases(double) {
    return {two("", [](const Tensor& a, const Tensor& b) { return linear_recurrence(a, b, 0); }, {0.5, 0.5, 0.5},
                {1, nan, 2}, {1, nan, nan}, {0, 1.5, nan}, {1.75, 1.5, 1}).second({{0, 2.5, nan}, {2, 1, 0}}),
            two("cut by a = 0", [](const Tensor& a, const Tensor& b) { return linear_recurrence(a, b, 0); }, {1, 0, 1},
                {1, 2, 3}, {1, 2, 5}, {0, 2, 2}, {1, 2, 1}).second({{0, 3, 2}, {2, 1, 0}})};
  }
};

// ---- softmax and its kin: a row of −∞ has the weights 0 -----------------------------------------------------------------

template <>
struct Boundary<LogSumExp> {
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {one("", [](const Tensor& x) { return logsumexp(x); }, {{5, 2}, {-inf, -inf, -inf, 1, inf, 0, nan, 0, 0, 0}},
                {-inf, 1, inf, nan, M_LN2}, {0, 0, 0, 1, 1, 0, nan, nan, 0.5, 0.5})
                .second({{0, 0, 0, 0, 0, 0, nan, nan, 0, 0}}),
            one("sizes", [](const Tensor& x) { return logsumexp(x); }, {{3, 2}, {L, L, -L, -L, -L, L}}, {L, -L, L},
                {0.5, 0.5, 0.5, 0.5, 0, 1}),
            one("∞ twice", [](const Tensor& x) { return logsumexp(x); }, {{1, 3}, {inf, 0, inf}}, {inf}, {0.5, 0, 0.5})};
  }
};

template <>
struct Boundary<Softmax> {
  static Cases cases(double) {
    const auto causal = [](const Tensor& x) {
      return softmax(reshape(x, {1, 1, 2, 2}), Mask{.causal = true, .offset = -1});
    };
    return {one("", [](const Tensor& x) { return softmax(x); }, {{4, 2}, {-inf, -inf, -inf, 1, nan, 0, 0, 0}},
                {0, 0, 0, 1, nan, nan, 0.5, 0.5}, {0, 0, 0, 0, nan, nan, -0.5, 0.5}, {1, 2, 1, 2, 1, 2, 1, 3})
                .second({{0, 0, 0, 0, nan, nan, 0, 0}}),
            one("masked row", causal, {nan, nan, 3, nan}, {0, 0, 1, 0}, {0, 0, 0, 0}, {1, 2, 3, 4})};
  }
};

template <>
struct Boundary<LogSoftmax> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return log_softmax(x); }, {{4, 2}, {-inf, -inf, -inf, 1, nan, 0, 0, 0}},
                {-inf, -inf, -inf, 0, nan, nan, -M_LN2, -M_LN2}, {1, 2, 1, -1, nan, nan, -1, 1}, {1, 2, 1, 2, 1, 2, 1, 3})
                .second({{0, 0, 0, 0, nan, nan, 0, 0}})};
  }
};

// ---- what moves elements moves every bit --------------------------------------------------------------------------------

template <>
struct Boundary<Reshape> {
  static Cases cases(double s) {
    return {one("",
                [](const Tensor& x) {
                  return reshape(x, {3, 2});
                },
                {nan, inf, -inf, -0.0, s, -s}, {nan, inf, -inf, -0.0, s, -s}, {1, 1, 1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Transpose> {
  static Cases cases(double s) {
    return {one("", [](const Tensor& x) { return transpose(x); }, {{2, 2}, {nan, inf, -0.0, s}}, {nan, -0.0, inf, s},
                {1, 1, 1, 1})};
  }
};

template <>
struct Boundary<Slice> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return slice(x, 0, 1, 2); }, {nan, -0.0, inf, nan}, {-0.0, inf}, {0, 1, 1, 0})};
  }
};

template <>
struct Boundary<Pad> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return pad(x, 0, 1, 1); }, {nan, -0.0, inf}, {0, nan, -0.0, inf, 0}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Expand> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return expand(x, {2, 2}); }, {nan, -0.0}, {nan, -0.0, nan, -0.0}, {2, 2})};
  }
};

template <>
struct Boundary<Concat> {
  static Cases cases(double) {
    const auto join = [](const Tensor& a, const Tensor& b) { return concat({a, b}, 0); };
    return {two("", join, {nan, -0.0}, {inf}, {nan, -0.0, inf}, {1, 1}, {1})};
  }
};

template <>
struct Boundary<Flip> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return flip(x, 0); }, {nan, -0.0, inf}, {inf, -0.0, nan}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Tril> {  // what is cut away is 0, NaN or not
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return tril(x); }, {{2, 2}, {nan, nan, inf, -0.0}}, {nan, 0, inf, -0.0},
                {1, 0, 1, 1})};
  }
};

template <>
struct Boundary<Triu> {
  static Cases cases(double) {
    return {one("", [](const Tensor& x) { return triu(x); }, {{2, 2}, {nan, inf, nan, -0.0}}, {nan, inf, 0, -0.0},
                {1, 1, 0, 1})};
  }
};

// ---- values between elements: what has the weight 0 is not read ---------------------------------------------------------

template <>
struct Boundary<Interpolate> {
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {one("as many", [](const Tensor& x) { return interpolate(x, 0, 4); }, {nan, -0.0, inf, s}, {nan, -0.0, inf, s},
                {1, 1, 1, 1}),
            one("twice as many", [](const Tensor& x) { return interpolate(x, 0, 6); }, {2, nan, inf},
                {2, nan, nan, nan, nan, inf}, {2, 2, 2}),
            one("corners", [](const Tensor& x) { return interpolate(x, 0, 5, true); }, {-inf, 1, inf},
                {-inf, -inf, 1, inf, inf}, {1.5, 2, 1.5}),
            one("large", [](const Tensor& x) { return interpolate(x, 0, 3, true); }, {L, L}, {L, L, L}, {1.5, 1.5})};
  }
};

template <>
struct Boundary<InterpolateAdjoint> {
  static Cases cases(double) {
    return {one("half as many", [](const Tensor& y) { return interpolate_adjoint(y, 0, 2); }, {inf, 1, nan, 4}, {nan, nan},
                {1, 1, 1, 1}),
            one("corners", [](const Tensor& y) { return interpolate_adjoint(y, 0, 3, true); }, {nan, 2, -0.0, 4, inf},
                {nan, 3, inf}, {1, 1, 1, 1, 1})};
  }
};

// ---- Fourier transforms: every element counts ------------------------------------------------------------------------------

template <>
struct Boundary<Rfft> {
  static Cases cases(double s) {
    const auto f = [](const Tensor& x) { return rfft(x); };
    const double L = Sizes(s).large;
    return {one("of one", f, {nan}, {nan, 0}, {1}),
            one("of two", f, {{2, 2}, {nan, 1, s, s}}, {nan, 0, nan, 0, 2 * s, 0, 0, 0}, {2, 0, 2, 0}),
            one("large", f, {L, -L}, {0, 0, 2 * L, 0}, {2, 0})};
  }
};

template <>
struct Boundary<Irfft> {  // imaginary parts of X_0 and X_{n/2} are not read
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {one("of one", [](const Tensor& X) { return irfft(X, 1); }, {{1, 2}, {5, nan}}, {5}, {1, 0}),
            one("of two", [](const Tensor& X) { return irfft(X, 2); }, {{2, 2}, {1, nan, 3, inf}}, {2, -1}, {1, 0, 0, 0}),
            one("large", [](const Tensor& X) { return irfft(X, 2); }, {{2, 2}, {L, 0, L, 0}}, {L, 0}, {1, 0, 0, 0})};
  }
};

// ---- elements and rows by index -----------------------------------------------------------------------------------------

template <>
struct Boundary<Embedding> {
  static Cases cases(double) {
    return {one("",
                [](const Tensor& x) {
                  return embedding(x, Tensor::from(std::vector<int32_t>{2, 0, 2}));
                },
                {{3, 1}, {-0.0, nan, inf}}, {inf, -0.0, inf}, {1, 0, 2})};
  }
};

template <>
struct Boundary<ScatterRows> {
  static Cases cases(double) {
    return {one("",
                [](const Tensor& x) {
                  return scatter_rows(x, Tensor::from(std::vector<int32_t>{2, 0, 2}), 3);
                },
                {{3, 1}, {inf, nan, -inf}}, {nan, 0, nan}, {1, 1, 1})};
  }
};

template <>
struct Boundary<Gather> {
  static Cases cases(double) {
    const auto pick = [](const Tensor& x) { return gather(x, 0, Tensor::from(std::vector<int32_t>{2, 0, 2})); };
    const auto sorted = [](const Tensor& x) { return sort(x).values; };
    return {one("", pick, {-0.0, nan, inf}, {inf, -0.0, inf}, {1, 0, 2}),
            one("pooled: of ties the first", [](const Tensor& x) { return max_pool2d(x, 1, 2, {}); },
                {{1, 1, 5, 1}, {0, -0.0, 1, -inf, -inf}}, {0, 1, 1, -inf}, {1, 0, 2, 1, 0}),
            one("pooled: NaN is the largest", [](const Tensor& x) { return max_pool2d(x, 1, 2, {}); },
                {{1, 1, 6, 1}, {inf, nan, -inf, 1, nan, nan}}, {nan, nan, 1, nan, nan}, {0, 2, 0, 1, 1, 1}),
            one("sorted: NaN is the largest", sorted, {nan, inf, -inf, 1}, {-inf, 1, inf, nan}, {4, 3, 1, 2},
                {1, 2, 3, 4})};
  }
};

template <>
struct Boundary<ScatterAdd> {
  static Cases cases(double) {
    const auto add_at = [](const Tensor& base, const Tensor& source) {
      return scatter_add(base, 0, Tensor::from(std::vector<int32_t>{2, 0, 2}), source);
    };
    return {two("", add_at, {1, 2, 0}, {inf, nan, -inf}, {nan, 2, nan}, {1, 1, 1}, {1, 1, 1})};
  }
};

}  // namespace tapir::boundary
