// The boundary set of norms, losses and attention.
#pragma once
#include "attention/kernels/all_ops.h"
#include "autograd/ops.h"
#include "tests/autograd/boundary_functions.h"

namespace tapir::boundary {

// ---- layers: scaling_laws.h has them without epsilon ----------------------------------------------------------------------

// Of a row a (−1, 1, −1, 1), with weights 1, without a bias, and the cotangent (1, 2, 3, 5): for a far beyond √ε the row is
// normalised, far below it is divided by √ε, and so is a row of equal numbers, of whatever size.
inline Cases norm_sizes(Tensor (*f)(const Tensor&), const Shape& shape, double s, double epsilon) {
  const double L = Sizes(s).large, t = Sizes(s).small, r = 1 / std::sqrt(epsilon);
  const Values g{1, 2, 3, 5}, centred{-1.75 * r, -0.75 * r, 0.25 * r, 2.25 * r};
  return {one("large", f, {shape, {-L, L, -L, L}}, {-1, 1, -1, 1}, {-1 / L, -1.5 / L, 1 / L, 1.5 / L}, g),
          one("small", f, {shape, {-t, t, -t, t}}, {-t * r, t * r, -t * r, t * r}, centred, g),
          one("large and equal", f, {shape, Values(4, 3 * L)}, {0, 0, 0, 0}, centred, g)};
}

inline Cases with(Cases cases, const Cases& more) {
  cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

template <>
struct Boundary<LayerNorm> {  // a constant row is its bias, without a gradient through it
  static Cases cases(double s) {
    const auto plain = [](const Tensor& x) {
      return layer_norm(x, Tensor::full({4}, 1, x.dtype()), Tensor::zeros({4}, x.dtype()));
    };
    return with(norm_sizes(plain, {1, 4}, s, 1e-5), {{"",
             [](const std::vector<Tensor>& in) { return layer_norm(in[0], in[1], in[2]); },
             {{{2, 2}, {3, 3, nan, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, -0.5, nan, nan},
             {{0, 0, nan, nan}, {nan, nan}, {2, 2}}, {}, {{0, 0, nan, nan}, {0, 0}, {0, 0}}}});
  }
};

template <>
struct Boundary<GroupNorm> {
  static Cases cases(double s) {
    const auto plain = [](const Tensor& x) {
      return group_norm(x, 1, Tensor::full({2}, 1, x.dtype()), Tensor::zeros({2}, x.dtype()));
    };
    return with(norm_sizes(plain, {1, 2, 2}, s, 1e-5), {{"",
             [](const std::vector<Tensor>& in) { return group_norm(in[0], 1, in[1], in[2]); },
             {{{2, 2}, {3, 3, nan, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, -0.5, nan, nan},
             {{0, 0, nan, nan}, {nan, nan}, {2, 2}}, {}, {{0, 0, nan, nan}, {0, 0}, {0, 0}}}});
  }
};

template <>
struct Boundary<BatchNorm> {  // NaN stays in its channel
  static Cases cases(double s) {
    const auto plain = [](const Tensor& x) {
      return batch_norm(x, Tensor::full({1}, 1, x.dtype()), Tensor::zeros({1}, x.dtype())).y;
    };
    return with(with(norm_sizes(plain, {4, 1}, s, 1e-5), norm_sizes(plain, {1, 1, 4}, s, 1e-5)), {{"",
             [](const std::vector<Tensor>& in) { return batch_norm(in[0], in[1], in[2]).y; },
             {{{2, 2}, {3, nan, 3, 1}}, {1, 1}, {0.5, -0.5}},
             {0.5, nan, 0.5, nan},
             {{0, nan, 0, nan}, {0, nan}, {2, 2}}, {}, {{0, nan, 0, nan}, {0, 0}, {0, 0}}}});
  }
};

template <>
struct Boundary<RmsNorm> {  // a row of zeros: r = 1/√ε = 1000
  static Cases cases(double s) {
    const double L = Sizes(s).large, t = Sizes(s).small;
    const auto plain = [](const Tensor& x) { return rms_norm(x, Tensor::full({4}, 1, x.dtype())); };
    const Values g{1, 2, 3, 5};
    return {two("", [](const Tensor& x, const Tensor& weight) { return rms_norm(x, weight); }, {{2, 2}, {0, 0, nan, 1}},
                {1, 2}, {0, 0, nan, nan}, {1000, 2000, nan, nan}, {nan, nan})
                .second({{1000, 1000, nan, nan}, {nan, nan}}),
            one("large", plain, {L, -L, L, -L}, {1, -1, 1, -1}, {1.75 / L, 1.25 / L, 3.75 / L, 4.25 / L}, g),
            one("small", plain, {t, -t, t, -t}, {1000 * t, -1000 * t, 1000 * t, -1000 * t}, {1000, 2000, 3000, 5000}, g)
                .second({{-2e9 * t, 3.5e9 * t, -2e9 * t, 3.5e9 * t}})};
  }
};

template <>
struct Boundary<Dropout> {  // a dropped element is 0, NaN or not
  static Cases cases(double) {
    const auto drop = [](const Tensor& x) { return dropout(x, 0.5, {.seed = 1}); };
    const std::vector<double> kept = drop(Tensor::full({7}, 1, DType::f64)).values<double>();
    Values x = {nan, nan, nan, nan, inf, -inf, -0.0}, y, dx;
    for (size_t i = 0; i < x.size(); ++i) {
      y.push_back(kept[i] == 0 ? 0 : 2 * x[i]);
      dx.push_back(kept[i]);
    }
    return {one("", drop, x, y, dx)};
  }
};

template <>
struct Boundary<CrossEntropy> {
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    const auto loss = [](const Tensor& x) { return cross_entropy(x, Tensor::from(std::vector<int32_t>{1, -1, 0})); };
    return {one("a class of probability 0, and a row that does not count", loss, {{3, 2}, {-inf, 0, nan, nan, 7, 7}},
                {M_LN2}, {0, 0, 0, 0, -0.5, 0.5}),
            one("smoothing of large logits",
                [](const Tensor& x) {
                  return cross_entropy(x, Tensor::from(std::vector<int32_t>{0}), {.label_smoothing = 0.125});
                },
                {{1, 2}, {3 * L, -3 * L}}, {0.375 * L}, {0.0625, -0.0625}),
            one("the target has probability 0",
                [](const Tensor& x) { return cross_entropy(x, Tensor::from(std::vector<int32_t>{0})); },
                {{1, 2}, {-inf, 0}}, {inf}, {-1, 1})};
  }
};

// H v of a loss of x − t, by x and by t, for v = (1, 0); of f″ alone
inline Case of_difference(const Case& c, const Values& second) {
  Values negative;
  for (const double value : second) negative.push_back(-value);
  return c.second({second, negative}, {Values(second.size(), 1), Values(second.size(), 0)});
}

template <>
struct Boundary<PairLoss<loss::SquaredError>> {
  static Cases cases(double s) {
    const Sizes t(s);
    return {of_difference(two("", squared_error, {3, -0.0, 2}, {3, 0, inf}, {inf}, {0, 0, -inf}, {0, 0, inf}), {2, 2, 2}),
            of_difference(two("NaN", squared_error, {nan, 1}, {1, 1}, {nan}, {nan, 0}, {nan, 0}), {2, 2}),
            of_difference(two("large", squared_error, {t.root_large, 0, s}, {0, t.root_small, 0}, {t.large},
                              {2 * t.root_large, -2 * t.root_small, 2 * s}, {-2 * t.root_large, 2 * t.root_small, -2 * s}),
                          {2, 2, 2}),
            of_difference(two("small", squared_error, {t.root_small, s}, {0, 0}, {t.small}, {2 * t.root_small, 2 * s},
                              {-2 * t.root_small, -2 * s}), {2, 2}),
            of_difference(two("infinite", squared_error, {t.large}, {-t.large / 2}, {inf}, {3 * t.large}, {-3 * t.large}),
                          {2})};
  }
};

template <>
struct Boundary<PairLoss<loss::L1>> {
  static Cases cases(double s) {
    const double L = Sizes(s).large;
    return {two("", l1, {1, 1, inf, -0.0}, {1, 3, 0, 0}, {inf}, {0, -1, 1, 0}, {0, 1, -1, 0}),
            two("sizes", l1, {L, 0, s}, {0, -L, 0}, {2 * L}, {1, 1, 1}, {-1, -1, -1}),
            two("small", l1, {s, -s, 0}, {0, 0, s}, {3 * s}, {1, -1, -1}, {-1, 1, 1})};
  }
};

template <>
struct Boundary<PairLoss<loss::SmoothL1>> {   // at |d| = β too f″ is 1/β
  static Cases cases(double s) {
    const Sizes t(s);
    const auto loss = [](const Tensor& x, const Tensor& target) { return smooth_l1(x, target); };
    const auto sized = [](const std::string& label, double beta, const Input& x, const Values& y, const Values& dx,
                          const Values& second) {
      Values negative;
      for (const double value : dx) negative.push_back(-value);
      const auto call = [beta](const std::vector<Tensor>& in) { return smooth_l1(in[0], in[1], beta); };
      return of_difference({label, call, {x, Values(dx.size(), 0)}, y, {dx, negative}}, second);
    };
    return {of_difference(two("", loss, {0, 2, -inf, 0.5, -1}, {0, 0, 0, 0, 0}, {inf}, {0, 1, -1, 0.5, -1},
                              {0, -1, 1, -0.5, 1}), {1, 0, 0, 1, 1}),
            sized("large", 1, {t.large, s, t.root_small}, {t.large}, {1, s, t.root_small}, {0, 1, 1}),
            sized("small", 1, {t.root_small, s}, {t.small / 2}, {t.root_small, s}, {1, 1}),
            sized("β large", t.large, {t.large / 2, t.root_large, 2 * t.large}, {0.125 * t.large + 1.5 * t.large},
                  {0.5, t.root_small, 1}, {t.small, t.small, 0}),
            sized("β small", t.small, {t.small / 2, 1, t.large}, {t.large}, {0.5, 1, 1}, {t.large, 0, 0})};
  }
};

template <>
struct Boundary<PairLoss<loss::BceWithLogits>> {  // a right answer of any certainty costs nothing
  static Cases cases(double s) {
    const double L = Sizes(s).large, e = std::exp(-50);
    return {two("", bce_with_logits, {inf, -inf, 0}, {1, 0, 0.5}, {M_LN2}, {0, 0, 0}, {-inf, inf, 0})
                .second({{-1, -1, -0.75}, {-1, -1, -1}}),
            two("sizes", bce_with_logits, {L, -L, L, s}, {1, 0, 0, 1}, {L}, {0, 0, 1, -0.5}, {-L, L, -L, -s})
                .second({{0, 0, 0, 0.25}, {-1, -1, -1, -1}}, {{1, 1, 1, 1}, {0, 0, 0, 0}}),
            two("tails", bce_with_logits, {50, -50}, {1, 0}, {2 * e}, {-e, e}, {-50, 50})
                .second({{e, e}, {-1, -1}}, {{1, 1}, {0, 0}})};
  }
};

template <>
struct Boundary<PairLoss<loss::KlDiv>> {
  static Cases cases(double s) {
    const Sizes t(s);
    const double ln = std::log(t.large), ln_s = std::log(s);
    return {two("", kl_div, {-inf, 0, 0}, {0, 0, 1}, {0}, {0, 0, -1}, {0, 0, 1}).second({{0, 0, -1}, {-1, -1, 0}}),
            two("small", kl_div, {0, 1, -1}, {t.small, s, t.root_small}, {t.root_small * (1 - ln / 2)},
                {-t.small, -s, -t.root_small}, {1 - ln, ln_s, 2 - ln / 2})
                .second({{-1, -1, -1}, {t.large, inf, t.root_large}}, {{0, 0, 0}, {1, 1, 1}}),
            two("large", kl_div, {0, -t.root_large}, {t.large, 1}, {t.large * ln}, {-t.large, -1}, {1 + ln, 1 + t.root_large})
                .second({{-1, -1}, {t.small, 1}}, {{0, 0}, {1, 1}})};
  }
};

// ---- attention: a row of scores 0 has no mass, and answers with 0 ------------------------------------------------------

template <>
struct Boundary<ExpressiveWeights> {
  static Cases cases(double) {
    return {one("", [](const Tensor& z) { return expressive_weights(z, {}, false); }, {{1, 1, 2, 2}, {0, -0.0, 1, 1}},
                {0, 0, 0.5, 0.5}, {0, 0, -0.5, 0.5}, {1, 2, 1, 3}).second({{0, 0, 1, -1}}),
            one("large", [](const Tensor& z) { return expressive_weights(z, {}, false); },
                {{1, 1, 2, 2}, {0x1p126, -0x1p126, 0x1p120, 1}}, {0.5, 0.5, 2.0 / 3, 1.0 / 3},
                {-0x1p-379, -0x1p-379, -0x1p-358 / 9, 2.0 / 9}, {1, 2, 1, 2})
                .second({{0x1.8p-504, -0x1.8p-504, -0x1p-358 / 27, -10.0 / 27}}),
            one("0 beside 1", [](const Tensor& z) { return expressive_weights(z, {}, false); }, {{1, 1, 1, 2}, {0, 1}}, {0, 1},
                {0, 0}, {1, 2}).second({{-4, 0}})};
  }
};

// A hidden key that holds NaN, for a query and a key that are seen.
inline Case beside_hidden_nan(Tensor (*f)(const Tensor&, const Tensor&, const Tensor&, const Mask&, Flag)) {
  return {"hidden", [f](const auto& in) {
            return f(in[0], in[1], in[2], {.keys = Tensor::from(std::vector<uint8_t>{1, 0}, {1, 2})}, false);
          },
          {{{1, 1, 1, 1}, {1}}, {{1, 1, 2, 1}, {1, nan}}, {{1, 1, 2, 1}, {3, nan}}}, {3}, {{0}, {0, 0}, {1, 0}}, {},
          {{0}, {0, 0}, {0, 0}}};
}

template <>
struct Boundary<Mix> {   // of a key that a query may not see no value is read; one with the weight 0 is
  static Cases cases(double) {
    const auto causal = [](const Tensor& A, const Tensor& V) { return mix(A, V, {.causal = true}); };
    return {two("", causal, {{1, 1, 2, 2}, {1, 0, 0.5, 0.5}}, {{1, 1, 2, 1}, {2, nan}}, {2, nan}, {2, nan, 2, nan}, {1.5, 0.5})
                .second({{1, 1, 1, 1}, {2, 2}}),
            two("∞", causal, {{1, 1, 2, 2}, {1, 0, 1, 0}}, {{1, 1, 2, 1}, {2, inf}}, {2, nan}, {2, inf, 2, inf}, {2, 0})
                .second({{1, 1, 1, 1}, {2, 2}})};
  }
};

template <>
struct Boundary<FusedAttention<ExpressiveForm>> {
  static Cases cases(double) {
    return {{"", [](const auto& in) { return expressive_attention(in[0], in[1], in[2], {}, false); },
             {{{1, 1, 2, 2}, {0, -0.0, 1, 1}}, {{1, 1, 2, 2}, {1, 0, 0, 1}}, {{1, 1, 2, 1}, {2, 6}}}, {0, 4},
             {{0, 0, -1, 1}, {-1, -1, 1, 1}, {0.5, 0.5}}, {}, {{0, 0, 6, -6}, {5, 5, -5, -5}, {0, 0}}},
            beside_hidden_nan(expressive_attention)};
  }
};

template <>
struct Boundary<FusedAttention<DotProductForm>> {   // a key far below the others has no weight
  static Cases cases(double) {
    return {{"", [](const auto& in) { return dot_product_attention(in[0], in[1], in[2], {}, false, true); },
             {{{1, 1, 1, 1}, {1}}, {{1, 1, 3, 1}, {0, -1e30, -0.0}}, {{1, 1, 3, 1}, {1, 5, 3}}}, {2},
             {{0}, {-0.5, 0, 0.5}, {0.5, 0, 0.5}}, {}, {{0}, {-0.5, 0, 0.5}, {0, 0, 0}}},
            beside_hidden_nan([](const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi) {
              return dot_product_attention(Q, K, V, mask, alibi, true);
            })};
  }
};

template <>
struct Boundary<FusedTwicing> {   // U = (0, 12, 4), of which the first and the last have half of the weight
  static Cases cases(double) {
    return {{"", [](const auto& in) { return twicing_attention(in[0], in[1], in[2], {}, false); },
             {{{1, 1, 3, 1}, {1, 1, 1}}, {{1, 1, 3, 1}, {0, -1e30, -0.0}}, {{1, 1, 3, 1}, {1, 7, 3}}}, {2, 2, 2},
             {{0, 0, 0}, {-1.5, 0, 1.5}, {1.5, 0, 1.5}}, {}},
            {"hidden", [](const auto& in) {
               const Mask first{.keys = Tensor::from(std::vector<uint8_t>{1, 0}, {1, 2})};
               return twicing_attention(in[0], in[1], in[2], first, false);
             },
             {{{1, 1, 2, 1}, {1, 1}}, {{1, 1, 2, 1}, {1, nan}}, {{1, 1, 2, 1}, {3, nan}}},
             {3, 3}, {{0, 0}, {0, 0}, {2, 0}}, {}}};
  }
};

template <>
struct Boundary<FusedDoublyNormalised> {   // a key far below the others for one query only is far below for none
  static Cases cases(double) {
    return {{"", [](const auto& in) { return doubly_normalised_attention(in[0], in[1], in[2], {}, false); },
             {{{1, 1, 2, 1}, {0, -0.0}}, {{1, 1, 2, 1}, {1, -1e30}}, {{1, 1, 2, 1}, {1, 5}}}, {3, 3},
             {{0, 0}, {0, 0}, {1, 1}}, {}},
            {"hidden", [](const auto& in) {
               const Tensor first = Tensor::from(std::vector<uint8_t>{1, 0}, {1, 2});
               return doubly_normalised_attention(in[0], in[1], in[2], first, false);
             },
             {{{1, 1, 2, 1}, {1, 1}}, {{1, 1, 2, 1}, {1, nan}}, {{1, 1, 2, 1}, {3, nan}}},
             {3, 3}, {{0, 0}, {0, 0}, {2, 0}}, {}}};
  }
};

template <>
struct Boundary<FusedAttention<NetworkForm>> {   // at the kink of a unit the gradient is 0
  static Cases cases(double) {
    return {{"", [](const auto& in) { return network_attention(in[0], in[1], in[2], in[3], {}, false); },
             {{{1, 1, 1, 3}, {0, 2, 1}}, {{1, 1, 2, 3}, {-0.0, -2, 1, -1, -3, 1}}, {{1, 1, 2, 1}, {1, 3}}, {{1, 3}, {5, 5, 1}}},
             {2}, {{0, 0, 0}, {0, 0, -0.5, 0, 0, 0.5}, {0.5, 0.5}, {0, 0, 0}}, {},
             {{0, 0, 0}, {0, 0, -0.5, 0, 0, 0.5}, {0, 0}, {0, 0, 0}}}};
  }
};

template <>
struct Boundary<FusedAttention<DeepNetworkForm>> {   // at the kink of a unit of the second layer, here with the first key
  static Cases cases(double) {
    return {{"", [](const auto& in) { return deep_network_attention(in[0], in[1], in[2], in[3], in[4], {}, false); },
             {{{1, 1, 1, 2}, {1, 1}}, {{1, 1, 2, 2}, {0, 0, 0, 1}}, {{1, 1, 2, 1}, {1, 3}}, {{1, 1, 2}, {1, -1}},
              {{1, 1}, {5}}},
             {2}, {{0, 0}, {0, 0, 0, 0}, {0.5, 0.5}, {0, 0}, {0}}, {}}};
  }
};

}  // namespace tapir::boundary
