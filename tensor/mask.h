// Mask: which keys a query may attend to. Letters: B batch, H heads, T queries, S keys.
#pragma once
#include "tensor/hd.h"
#include "tensor/tensor.h"

namespace tapir {

struct Mask {
  bool causal = false;      // query t sees keys s ≤ t + offset
  int64_t offset = 0;       // position of the first query among the keys: S − T when decoding with a cache; |offset| ≤ 2⁵³
  Tensor keys{};              // u8 (B,S): 0 hides a padded key from all queries; undefined: all are there

  Mask dense() const { return {causal, offset, keys.defined() ? keys.contiguous() : keys}; }   // as kernels read it
  Mask on_host() const { return {causal, offset, keys.defined() ? keys.contiguous().on_host() : keys}; }   // dense too
};

// Places up to 2⁵³ are exact in double, and their sums do not overflow.
inline void require_offset(const char* op, int64_t offset) {
  constexpr int64_t largest = int64_t{1} << 53;
  require(offset >= -largest && offset <= largest, op,
          [&] { return text("the offset must be in [-2^53, 2^53], got ", offset); });
}

// What kernels read. Keys 0 … limit(t) − 1 come into question, and of those the ones that are there.
struct MaskView {
  bool causal;
  int64_t offset, heads, queries, keys;
  const uint8_t* present;   // null: all

  HD int64_t limit(int64_t t) const {
    const int64_t seen = causal ? t + offset + 1 : keys;
    return seen < 0 ? 0 : seen < keys ? seen : keys;
  }
  // Of the batch that holds row (b·H + h)·T + t.
  HD const uint8_t* present_in(int64_t row) const { return present ? present + row / (heads * queries) * keys : nullptr; }
};

// The mask, a dense() one, for scores of shape (B,H,T,S) on `device`. Throws an Error named after `op` when it does not fit.
// `mask` must outlive the view.
inline MaskView view_of(const char* op, const Mask& mask, const Shape& scores, Device device) {
  require(scores.rank() == 4, op, [&] { return text("scores must be (B,H,T,S), got ", scores); });
  require_offset(op, mask.offset);
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
          scores[2],   scores[3],   mask.keys.defined() ? mask.keys.data<uint8_t>() : nullptr};
}

}  // namespace tapir
