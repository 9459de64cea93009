// Fused attention, against its definition pair by pair.
#pragma once
#include "attention/examples/attention.h"
#include "attention/kernels/fused_attention.h"

namespace tapir {

// What a form of attention is, in scalars.
struct FormUnderTest {
  const char* name;
  std::function<Tensor(const std::vector<Tensor>& in, const Mask& mask, bool alibi)> function;
  bool response;                             // the weight of a score 0 is 0
  int layers;                                // of a network: 1 with a weight (1 or H,F), 2 with (1 or H,2,F) and (1 or H,2)
  double (*weight)(double score, double fall);   // up to a factor for all keys
  double (*slope)(int64_t head, int64_t heads);
  decltype(function) of_others = {};         // where the key at a query's place counts only if the query sees no other
};

inline bool sees_another(const MaskedCase& c, int64_t b, int64_t t, int64_t than, int64_t keys) {
  for (int64_t s = 0; s < keys; ++s)
    if (s != than && allowed(c, b, t, s)) return true;
  return false;
}

// Σ_s w_ts v_s / Σ_s w_ts over the allowed keys
inline Array attention_by_pairs(const FormUnderTest& form, const MaskedCase& c, bool alibi, const Arrays& in, bool own = true) {
  const Array &q = in[0], &k = in[1], &v = in[2];
  return build(q.shape.with(3, v.shape[3]), [&](const Index& i) {
    const int64_t b = i[0], h = i[1], t = i[2];
    double sum = 0, total = 0;
    for (int64_t s = 0; s < k.shape[2]; ++s) {
      if (!allowed(c, b, t, s)) continue;
      double score = 0;
      for (int64_t r = 0; r < (form.layers == 2 ? 2 : 1); ++r) {
        double y = 0;
        for (int64_t f = 0; f < q.shape[3]; ++f) {
          const double mine = at(q, {b, h, t, f}), theirs = at(k, {b, h, s, f}), on = std::max(0.0, mine + theirs);
          const int64_t network = form.layers == 0 || in[3].shape[0] == 1 ? 0 : h;
          y += form.layers == 0   ? mine * theirs
               : form.layers == 1 ? at(in[3], {network, f}) * on
                                  : at(in[3], {network, r, f}) * on;
        }
        score += form.layers == 2 ? at(in[4], {in[3].shape[0] == 1 ? 0 : h, r}) * std::max(0.0, y) : y;
      }
      const double distance = std::fabs(static_cast<double>(t + c.offset - s));
      if (!own && s == t + c.offset && sees_another(c, b, t, s, k.shape[2])) score = -HUGE_VAL;
      const double w = form.weight(score, alibi ? form.slope(h, q.shape[1]) * distance : 0);
      total += w;
      sum += w * at(v, {b, h, s, i[3]});
    }
    return total > 0 ? sum / total : 0;
  });
}

inline OpExamples fused_examples(const FormUnderTest& form) {
  OpExamples examples{.op = form.name, .rows = {}, .errors = {}};
  // `scores` (B,H,T,S) and the mask as the case says, F features, values of width D; one weight for all heads or one for each.
  const auto row = [&](const MaskedCase& c, int64_t features, int64_t D, bool alibi = false, bool for_each_head = false,
                       double low = -1.9375) {
    const int64_t F = form.layers == 2 ? std::min<int64_t>(features, 3) : features;
    const int64_t B = c.scores[0], H = c.scores[1], T = c.scores[2], S = c.scores[3];
    // Sums a + c keep 1/16 from the kink of ReLU, no feature is 0, which would meet NaN. A response wants scores other than 0:
    // without mass there is no derivative.
    std::vector<Argument> inputs{{{B, H, T, F}, form.response ? 0.0625 : low, low + 3.9375, 0.25},
                                 {{B, H, S, F}, -1.875, form.response ? -0.125 : 1.875, 0.25},
                                 {{B, H, S, D}}};
    const int64_t networks = for_each_head ? H : 1;
    if (form.layers == 1) inputs.push_back({{networks, F}});
    // Sums a + c are (4k + 3)/16 and weights (4k + 1)/2: up to three such products keep 1/32 from the second kink.
    if (form.layers == 2) inputs.insert(inputs.end(), {{{networks, 2, F}, -1.5, 2.5, 2}, {{networks, 2}}});
    examples.rows.push_back({.label = c.label,
                             .function = [=, mask = c.mask()](const std::vector<Tensor>& x) { return form.function(x, mask, alibi); },
                             .inputs = inputs,
                             .reference = [=](const Arrays& in) { return attention_by_pairs(form, c, alibi, in); },
                             .may_vanish = c.may_vanish,
                             .nan_elsewhere = form.layers == 2 || (form.layers == 1 && low < 0),   // a weight meets a unit that is off, 0
                             .relative_f32 = 2e-6 * std::max(1.0, static_cast<double>(F) / 16)});   // one after the other
  };
  row({"no mask", {2, 2, 3, 5}}, 4, 3);
  row({"positive sums, causal", {2, 1, 3, 4}, true, 1}, 2, 2, false, false, 2.0625);
  row({"ALiBi", {2, 3, 4, 4}}, 3, 2, true, true);
  row({"ALiBi, causal, cached keys", {1, 2, 3, 7}, true, 4}, 3, 2, true);
  row({"causal", {2, 3, 5, 5}, true}, 4, 4, false, true);
  row({"causal, first rows see nothing", {1, 2, 5, 4}, true, -2}, 2, 3);
  row({"causal, nothing seen at all", {1, 1, 2, 2}, true, -5, {}, true}, 2, 2);
  row({"padded keys", {2, 2, 3, 5}, false, 0, {1, 1, 0, 1, 0, 0, 1, 1, 1, 1}}, 3, 2);
  row({"a batch without keys", {2, 1, 3, 3}, false, 0, {0, 0, 0, 1, 0, 1}}, 3, 2);
  row({"causal and padded keys, ALiBi", {2, 2, 4, 4}, true, 0, {0, 1, 1, 1, 1, 1, 0, 1}}, 3, 3, true);
  row({"one key", {1, 1, 1, 1}, false, 0, {}, true}, 1, 1);
  row({"no keys", {1, 2, 3, 0}, false, 0, {}, true}, 2, 2);
  row({"no queries", {2, 1, 0, 3}}, 2, 2);
  row({"no features", {1, 1, 2, 3}, false, 0, {}, true}, 0, 2);
  row({"several tiles", {1, 1, 66, 70}}, 3, 2);
  row({"several tiles, causal", {1, 1, 70, 68}, true, 3}, 2, 2, true);
  row({"whole tiles", {1, 2, 64, 64}, true}, 1, 1);
  row({"window", {2, 2, 5, 6}, false, 0, {}, false, false, 1}, 3, 2);
  row({"window, causal and padded keys, ALiBi", {2, 2, 4, 4}, true, 0, {0, 1, 1, 1, 1, 1, 0, 1}, false, false, 2}, 3, 2, true);
  row({"window, first rows see nothing", {1, 2, 5, 4}, false, -3, {}, false, false, 1}, 2, 2);
  row({"window, several tiles", {1, 1, 140, 150}, false, 5, {}, false, false, 30}, 2, 2);
  row({"window, several tiles, causal", {1, 1, 150, 150}, true, 0, {}, false, false, 8}, 2, 1, true);
  std::vector<uint8_t> present;
  for (int s = 0; s < 600; ++s) present.push_back(s % 3 != 1);
  row({"several ranges", {1, 1, 1, 600}, true, 580, present}, 2, 110);

  const auto row_of_others = [&](const MaskedCase& c, int64_t F, int64_t D, bool alibi = false) {
    const int64_t B = c.scores[0], H = c.scores[1], T = c.scores[2], S = c.scores[3];
    examples.rows.push_back(
        {.label = c.label,
         .function = [=, mask = c.mask()](const std::vector<Tensor>& x) { return form.of_others(x, mask, alibi); },
         .inputs = {{{B, H, T, F}, -1.9375, 2, 0.25}, {{B, H, S, F}, -1.875, 1.875, 0.25}, {{B, H, S, D}}},
         .reference = [=](const Arrays& in) { return attention_by_pairs(form, c, alibi, in, false); },
         .nan_elsewhere = true});   // the weight of its own key is 0, and meets the value
  };
  if (form.of_others) {
    row_of_others({"of others", {2, 2, 4, 4}}, 3, 2);
    row_of_others({"of others, causal", {2, 1, 4, 4}, true}, 2, 3);
    row_of_others({"of others, cached keys, ALiBi", {1, 2, 3, 7}, true, 4}, 3, 2, true);
    row_of_others({"of others, padded keys, one alone", {2, 2, 4, 4}, false, 0, {0, 0, 1, 0, 1, 1, 0, 1}}, 3, 2);
    row_of_others({"of others, a key that is not there", {1, 1, 3, 2}, false, 1}, 2, 2);
    row_of_others({"of others, several tiles, causal", {1, 1, 70, 70}, true}, 2, 1);
  }

  const auto bad = [&](const Shape& q, const Shape& k, const Shape& v, const std::vector<Shape>& others,
                       std::vector<std::string> words) {
    words.push_back(form.name);
    std::vector<Tensor> in{zeros(q), zeros(k), zeros(v)};
    for (const Shape& other : others) in.push_back(zeros(other));
    examples.errors.push_back({[=] { form.function(in, {}, false); }, words});
  };
  const auto others_of = [&](const Shape& k) {
    const int64_t F = k[k.rank() - 1];
    return form.layers == 0   ? std::vector<Shape>{}
           : form.layers == 1 ? std::vector<Shape>{{1, F}}
                              : std::vector<Shape>{{1, 2, F}, {1, 2}};
  };
  const Shape fits{2, 3, 3, 4}, one{2, 1, 3, 4}, wide{1, 1, 1, 1600};
  bad({2, 3, 4}, one, one, others_of(one), {"[2,3,4]", "[2,1,3,4]"});
  bad(one, {2, 1, 3, 5}, one, others_of({2, 1, 3, 5}), {"[2,1,3,5]"});
  bad(one, one, {2, 1, 5, 4}, others_of(one), {"[2,1,5,4]"});
  bad(wide, wide, {1, 1, 1, 4}, others_of(wide), {"1600 features", "values of width 4", "naive"});
  if (form.layers == 1) bad(fits, fits, fits, {{2, 4}}, {"weight must be (1 or H,M)", "[2,4]"});
  if (form.layers == 2) {
    bad(fits, fits, fits, {{2, 2, 4}, {2, 2}}, {"hidden weights must be (1 or H,R,M)", "[2,2,4]"});
    bad(fits, fits, fits, {{1, 2, 4}, {3, 2}}, {"weight must be [1,2]", "[3,2]"});
    bad({1, 1, 1, 30}, {1, 1, 1, 30}, {1, 1, 1, 4}, {{1, 800, 30}, {1, 800}}, {"30 features and 800 units", "naive"});
  }
  return examples;
}

inline double power_slope(int64_t head, int64_t heads) {   // where H is a power of two both rules are this one
  return std::exp2(-8.0 * static_cast<double>(head + 1) / static_cast<double>(heads));
}
// Of Press et al. for any H: the slopes of the next smaller power of two P, then every second one of 2P.
inline double published_slope(int64_t head, int64_t heads) {
  int64_t power = 1;
  while (2 * power <= heads) power *= 2;
  return head < power ? power_slope(head, power) : power_slope(2 * (head - power), 2 * power);
}

template <> struct Examples<FusedAttention<DotProductForm>> {
  static OpExamples all() {
    return fused_examples({"dot_product_attention",
                           [](const auto& x, const Mask& mask, bool alibi) {
                             return dot_product_attention(x[0], x[1], x[2], mask, alibi, true);
                           },
                           false, 0, [](double s, double fall) { return std::exp(s - fall); }, published_slope,
                           [](const auto& x, const Mask& mask, bool alibi) {
                             return dot_product_attention(x[0], x[1], x[2], mask, alibi, false);
                           }});
  }
};

template <> struct Examples<FusedTwicing> {
  static OpExamples all() {
    OpExamples examples{.op = "twicing_attention", .rows = {}, .errors = {}};
    const FormUnderTest once{"", {}, false, 0, [](double s, double fall) { return std::exp(s - fall); }, published_slope};
    const auto row = [&](const MaskedCase& c, int64_t F, int64_t D, bool alibi = false) {
      const int64_t B = c.scores[0], H = c.scores[1], T = c.scores[2];
      examples.rows.push_back(
          {.label = c.label,
           .function = [=, mask = c.mask()](const auto& x) { return twicing_attention(x[0], x[1], x[2], mask, alibi); },
           .inputs = {{{B, H, T, F}, -1.9375, 2, 0.25}, {{B, H, T, F}, -1.875, 1.875, 0.25}, {{B, H, T, D}}},
           .reference = [=](const Arrays& in) {
             const Array Y = attention_by_pairs(once, c, alibi, in);
             const Array U = build(Y.shape, [&](const Index& i) { return 2 * at(in[2], i) - at(Y, i); });
             return attention_by_pairs(once, c, alibi, {in[0], in[1], U});
           },
           .may_vanish = c.may_vanish,
           .nan_elsewhere = c.causal,   // a query with one key has no gradient: a difference of 0, which NaN is a factor of
           .relative_f32 = 4e-6});
    };
    row({"no mask", {2, 2, 4, 4}}, 4, 3);
    row({"causal, ALiBi", {2, 3, 5, 5}, true}, 3, 2, true);
    row({"causal, first rows see nothing", {1, 2, 5, 5}, true, -2}, 2, 3);
    row({"padded keys", {2, 2, 4, 4}, false, 0, {0, 1, 1, 1, 1, 1, 0, 1}}, 3, 2);
    row({"a batch without keys", {2, 1, 3, 3}, false, 0, {0, 0, 0, 1, 0, 1}}, 3, 2);
    row({"one token", {1, 1, 1, 1}, false, 0, {}, true}, 1, 1);
    row({"no tokens", {1, 2, 0, 0}}, 2, 2);
    row({"no features", {1, 1, 3, 3}, false, 0, {}, true}, 0, 2);
    row({"several tiles, causal", {1, 1, 70, 70}, true}, 2, 2, true);
    row({"whole tiles", {1, 2, 64, 64}}, 1, 1);
    row({"window, causal and padded keys", {2, 2, 4, 4}, true, 0, {0, 1, 1, 1, 1, 1, 0, 1}, false, false, 2}, 3, 2);
    row({"several ranges", {12, 12, 8, 8}}, 2, 60);
    const auto bad = [&](const Shape& q, const Shape& k, const Shape& v, std::vector<std::string> words) {
      words.emplace_back("twicing_attention");
      examples.errors.push_back({[=] { twicing_attention(zeros(q), zeros(k), zeros(v), {}, false); }, words});
    };
    const Shape fits{2, 1, 3, 4}, longer{2, 1, 5, 4}, wide{1, 1, 1, 400};
    bad({2, 3, 4}, fits, fits, {"needs queries and keys (B,H,T,F)", "[2,3,4]", "[2,1,3,4]"});
    bad(fits, longer, longer, {"[2,1,3,4]", "[2,1,5,4]"});
    bad(fits, fits, longer, {"values (B,H,T,D)", "[2,1,5,4]"});
    bad(wide, wide, wide, {"400 features", "values of width 800", "naive"});
    return examples;
  }
};

template <> struct Examples<FusedDoublyNormalised> {
  static OpExamples all() {
    OpExamples examples{.op = "doubly_normalised_attention", .rows = {}, .errors = {}};
    const auto row = [&](const MaskedCase& c, int64_t F, int64_t D, bool alibi = false) {
      const int64_t B = c.scores[0], H = c.scores[1], T = c.scores[2];
      examples.rows.push_back(
          {.label = c.label,
           .function =
               [=, keys = c.mask().keys](const auto& x) { return doubly_normalised_attention(x[0], x[1], x[2], keys, alibi); },
           .inputs = {{{B, H, T, F}, -1.9375, 2, 0.25}, {{B, H, T, F}, -1.875, 1.875, 0.25}, {{B, H, T, D}}},
           .reference = [=](const Arrays& in) { return by_columns_and_rows(c, alibi, in); },
           .may_vanish = c.may_vanish,
           .relative_f32 = 4e-6});
    };
    row({"all are there", {2, 2, 4, 4}}, 4, 3);
    row({"ALiBi", {2, 3, 5, 5}}, 3, 2, true);
    row({"some are there", {2, 2, 4, 4}, false, 0, {0, 1, 1, 1, 1, 1, 0, 1}}, 3, 2);
    row({"a batch without tokens", {2, 1, 3, 3}, false, 0, {0, 0, 0, 1, 0, 1}}, 3, 2);
    row({"one token", {1, 1, 1, 1}, false, 0, {}, true}, 1, 1);
    row({"no tokens", {1, 2, 0, 0}}, 2, 2);
    row({"no features", {1, 1, 3, 3}, false, 0, {}, true}, 0, 2);
    row({"several tiles, ALiBi", {1, 1, 70, 70}, false, 0, std::vector<uint8_t>(70, 1)}, 2, 2, true);
    row({"whole tiles", {1, 2, 64, 64}}, 1, 1);
    row({"several ranges", {12, 12, 8, 8}}, 2, 60);
    const auto bad = [&](const Shape& q, const Shape& k, const Shape& v, const Tensor& present, std::vector<std::string> words) {
      words.emplace_back("doubly_normalised_attention");
      examples.errors.push_back({[=] { doubly_normalised_attention(zeros(q), zeros(k), zeros(v), present, false); }, words});
    };
    const Shape fits{2, 1, 3, 4}, longer{2, 1, 5, 4}, wide{1, 1, 1, 800};
    bad({2, 3, 4}, fits, fits, {}, {"needs queries and keys (B,H,T,F)", "[2,3,4]", "[2,1,3,4]"});
    bad(fits, longer, longer, {}, {"[2,1,3,4]", "[2,1,5,4]"});
    bad(fits, fits, longer, {}, {"values (B,H,T,D)", "[2,1,5,4]"});
    bad(fits, fits, fits, u8({1, 1}, {2, 1}), {"u8[2,3]", "u8[2,1]"});
    bad(wide, wide, wide, {}, {"801 features", "values of width 801", "naive"});
    return examples;
  }

 private:
  static Array by_columns_and_rows(const MaskedCase& c, bool alibi, const Arrays& in) {
    const int64_t T = c.scores[2], F = in[0].shape[3];
    const auto exp_of = [&](int64_t b, int64_t h, int64_t t, int64_t s) {
      double score = alibi ? -published_slope(h, c.scores[1]) * std::fabs(static_cast<double>(t - s)) : 0;
      for (int64_t f = 0; f < F; ++f) score += at(in[0], {b, h, t, f}) * at(in[1], {b, h, s, f});
      return std::exp(score);
    };
    return build(in[2].shape, [&](const Index& i) {
      double sum = 0, total = 0;
      for (int64_t s = 0; s < T; ++s) {
        if (!allowed(c, i[0], i[2], s)) continue;
        double column = 0;
        for (int64_t t = 0; t < T; ++t)
          if (allowed(c, i[0], 0, t)) column += exp_of(i[0], i[1], t, s);
        const double share = exp_of(i[0], i[1], i[2], s) / column;
        sum += share * at(in[2], {i[0], i[1], s, i[3]});
        total += share;
      }
      return total > 0 ? sum / total : 0;
    });
  }
};

template <> struct Examples<FusedAttention<ExpressiveForm>> {
  static OpExamples all() {
    return fused_examples({"expressive_attention",
                           [](const auto& x, const Mask& mask, bool alibi) {
                             return expressive_attention(x[0], x[1], x[2], mask, alibi);
                           },
                           true, 0,
                           [](double z, double fall) { return z * z / (1 + z * z) * std::exp(-fall); }, power_slope});
  }
};

template <> struct Examples<FusedAttention<NetworkForm>> {
  static OpExamples all() {
    return fused_examples({"network_attention",
                           [](const auto& x, const Mask& mask, bool alibi) {
                             return network_attention(x[0], x[1], x[2], x[3], mask, alibi);
                           },
                           false, 1, [](double s, double fall) { return std::exp(s - fall); }, published_slope});
  }
};

template <> struct Examples<FusedAttention<DeepNetworkForm>> {
  static OpExamples all() {
    return fused_examples({"deep_network_attention",
                           [](const auto& x, const Mask& mask, bool alibi) {
                             return deep_network_attention(x[0], x[1], x[2], x[3], x[4], mask, alibi);
                           },
                           false, 2, [](double s, double fall) { return std::exp(s - fall); }, published_slope});
  }
};

}  // namespace tapir
