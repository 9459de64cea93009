// Mask: which keys a query may attend to. Letters: B batch, H heads, T queries, S keys.
#pragma once
#include "tensor/hd.h"
#include "tensor/tensor.h"

namespace tapir {

struct Mask {
  bool causal = false;      // query t sees keys s ≤ t + offset
  int64_t offset = 0;       // position of the first query among the keys: S − T when decoding with a cache; |offset| ≤ 2⁵³
  Tensor keys{};              // u8 (B,S): 0 hides a padded key from all queries; undefined: all are there
  int64_t window = 0;       // query t sees keys s with |t + offset − s| ≤ window, at most 2⁵³; 0: at any distance

  bool hides() const { return causal || window > 0 || keys.defined(); }
  Mask dense() const { return {causal, offset, keys.defined() ? keys.contiguous() : keys, window}; }   // as kernels read it
  Mask on_host() const {   // dense too
    return {causal, offset, keys.defined() ? keys.contiguous().on_host() : keys, window};
  }
};

// Places up to 2⁵³ are exact in double, and their sums do not overflow.
inline constexpr int64_t largest_place = int64_t{1} << 53;

inline void require_offset(const char* op, int64_t offset) {
  require(offset >= -largest_place && offset <= largest_place, op,
          [&] { return text("the offset must be in [-2^53, 2^53], got ", offset); });
}
inline void require_places(const char* op, const Mask& mask) {
  require_offset(op, mask.offset);
  require(mask.window >= 0 && mask.window <= largest_place, op,
          [&] { return text("the window must be in [0, 2^53], got ", mask.window); });
}

// What kernels read. Keys first(t) … limit(t) − 1 come into question, and of those the ones that are there.
struct MaskView {
  bool causal;
  int64_t offset, heads, queries, keys;
  const uint8_t* present;   // null: all
  int64_t window = 0;

  HD int64_t limit(int64_t t) const {
    const int64_t place = t + offset;
    return within(causal ? place + 1 : window ? place + window + 1 : keys, keys);
  }
  HD int64_t first(int64_t t) const { return window ? within(t + offset - window, limit(t)) : 0; }

  // The same by key: queries first_query(s) … query_limit(s) − 1.
  HD int64_t query_limit(int64_t s) const { return window ? within(s - offset + window + 1, queries) : queries; }
  HD int64_t first_query(int64_t s) const {
    const int64_t place = s - offset;
    return causal ? within(place, query_limit(s)) : window ? within(place - window, query_limit(s)) : 0;
  }

  HD static int64_t within(int64_t n, int64_t most) { return n < 0 ? 0 : n < most ? n : most; }   // to 0 … most

  // From key `first` on, of the batch that holds row (b·H + h)·T + t.
  HD const uint8_t* present_in(int64_t row, int64_t first = 0) const {
    return present ? present + row / (heads * queries) * keys + first : nullptr;
  }
};

// The mask, a dense() one, for scores of shape (B,H,T,S) on `device`. Throws an Error named after `op` when it does not fit.
// `mask` must outlive the view.
inline MaskView view_of(const char* op, const Mask& mask, const Shape& scores, Device device) {
  require(scores.rank() == 4, op, [&] { return text("scores must be (B,H,T,S), got ", scores); });
  require_places(op, mask);
  if (mask.keys.defined()) {
    require(mask.keys.device() == device, op,
            [&] { return text("the key mask is on ", mask.keys.device(), ", the scores on ", device); });
    require(mask.keys.dtype() == DType::u8 && mask.keys.shape() == Shape{scores[0], scores[3]}, op, [&] {
      return text("key mask must be u8", Shape{scores[0], scores[3]}, ", got ", mask.keys.dtype(), mask.keys.shape(),
                  ", for scores ", scores);
    });
    require(mask.keys.is_contiguous(), op, [] { return "the op gives its kernel a key mask that is not dense()"; });
  }
  return {mask.causal, mask.offset, scores[1],
          scores[2],   scores[3],   mask.keys.defined() ? mask.keys.data<uint8_t>() : nullptr,
          mask.window};
}

}  // namespace tapir
