// Masked softmax, against the definition: weights over the allowed keys alone.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/softmax.h"

namespace tapir {

struct MaskedCase {
  std::string label;
  Shape scores;   // (B,H,T,S)
  bool causal = false;
  int64_t offset = 0;
  std::vector<uint8_t> keys{};   // (B,S), empty: all
  bool may_vanish = false;
  bool forbidden_nan = false;   // forbidden scores are NaN: they must not be read
  int64_t window = 0;

  Mask mask() const {
    const Tensor present = keys.empty() ? Tensor() : u8(keys, {scores[0], scores[3]});
    return {.causal = causal, .offset = offset, .keys = present, .window = window};
  }
};

inline bool allowed(const MaskedCase& c, int64_t b, int64_t t, int64_t s) {
  const bool near = c.window == 0 || std::abs(t + c.offset - s) <= c.window;
  return near && (!c.causal || s <= t + c.offset) && (c.keys.empty() || c.keys[b * c.scores[3] + s] != 0);
}

inline Array masked_softmax(const MaskedCase& c, const Array& scores) {
  return build(c.scores, [&](const Index& i) {
    const int64_t b = i[0], t = i[2], s = i[3];
    if (!allowed(c, b, t, s)) return 0.0;
    double total = 0;   // relative to this key: no score is large here
    for (int64_t other = 0; other < c.scores[3]; ++other)
      if (allowed(c, b, t, other)) total += std::exp(at(scores, {b, i[1], t, other}) - at(scores, i));
    return 1 / total;
  });
}

// x (B,H,T,S), with a number in place of what the mask forbids.
inline Tensor with_forbidden(const MaskedCase& c, const Tensor& x, double number) {
  std::vector<uint8_t> seen;
  for (int64_t b = 0; b < c.scores[0]; ++b)
    for (int64_t t = 0; t < c.scores[2]; ++t)
      for (int64_t s = 0; s < c.scores[3]; ++s) seen.push_back(allowed(c, b, t, s));
  return where(u8(seen, {c.scores[0], 1, c.scores[2], c.scores[3]}), x, Tensor::full({}, number, x.dtype()));
}
inline Tensor with_nan(const MaskedCase& c, const Tensor& x) {
  return with_forbidden(c, x, std::numeric_limits<double>::quiet_NaN());
}

inline std::vector<Example> masked_softmax_rows() {
  const std::vector<MaskedCase> cases = {
      {"no mask", {2, 2, 3, 4}},
      {"causal", {2, 3, 5, 5}, true},
      {"causal, cached keys", {2, 2, 3, 7}, true, 4},
      {"causal, more queries than keys", {1, 2, 6, 3}, true, 0},
      {"causal, first rows see nothing", {1, 2, 5, 4}, true, -2},
      {"causal, nothing seen at all", {1, 1, 2, 2}, true, -5, {}, true},
      {"padded keys", {2, 2, 3, 5}, false, 0, {1, 1, 0, 1, 0, 0, 1, 1, 1, 1}},
      {"a batch without keys", {2, 1, 3, 3}, false, 0, {0, 0, 0, 1, 0, 1}},
      {"causal and padded keys", {2, 2, 4, 4}, true, 0, {0, 1, 1, 1, 1, 1, 0, 1}},
      {"NaN where causality forbids", {2, 2, 4, 6}, true, 1, {}, false, true},
      {"NaN where keys are padded", {2, 2, 4, 4}, true, 0, {0, 1, 1, 1, 1, 1, 0, 1}, false, true},
      {"masked, one key", {1, 1, 1, 1}, true, 0, {}, true},
      {"masked, no keys", {1, 2, 3, 0}, true, 0},
      {"masked, no queries", {2, 1, 0, 3}, true, 0},
      {"masked, several ranges", {2, 3, 150, 160}, true, 10, std::vector<uint8_t>(320, 1)},
      {"window", {2, 2, 6, 7}, false, 0, {}, false, false, 2},
      {"window, causal, cached keys", {1, 2, 3, 9}, true, 6, {}, false, false, 2},
      {"window and padded keys", {2, 2, 4, 4}, false, 0, {0, 1, 1, 1, 1, 1, 0, 1}, false, false, 1},
      {"window, first rows see nothing", {1, 2, 5, 4}, false, -3, {}, false, false, 1},
      {"window behind all keys", {1, 1, 2, 3}, false, 9, {}, true, false, 2},
      {"NaN outside of the window", {2, 2, 5, 6}, true, 1, {}, false, true, 2},
      {"window, several ranges", {2, 3, 150, 160}, false, -5, std::vector<uint8_t>(320, 1), false, false, 40},
  };
  std::vector<Example> rows;
  for (const MaskedCase& c : cases) {
    rows.push_back({.label = c.label,
                    .function = [c, mask = c.mask()](const std::vector<Tensor>& x) {
                      return softmax(c.forbidden_nan ? with_nan(c, x[0]) : x[0], mask);
                    },
                    .inputs = {{c.scores}},
                    .reference = [c](const Arrays& in) { return masked_softmax(c, in[0]); },
                    .may_vanish = c.may_vanish});
  }
  return rows;
}

}  // namespace tapir
