// TokenMixer: what every attention implements. It owns its projections; blocks hold one and know no mechanism.
#pragma once
#include <memory>
#include <vector>

#include "nn/call.h"
#include "nn/module.h"
#include "nn/positions.h"

namespace tapir::nn {

// Where tokens stand.
struct Places {
  enum class Kind { sequence, grid, coordinates };

  Kind kind = Kind::sequence;
  int64_t class_tokens = 0, rows = 0, columns = 0;   // of a grid: class tokens first, then its cells row by row
  int64_t dimensions = 0;                            // of coordinates, which the call brings

  bool on_grid() const { return kind == Kind::grid; }
  int64_t tokens() const { return class_tokens + rows * columns; }   // of a grid
};

// What keys and values come from: the sequence of the queries, or another one.
enum class Context { self, other };

// What a model says of a mixer's place when it is made.
struct MixerShape {
  int64_t width = 0;       // C
  int64_t heads = 0;       // H
  int64_t layer = 0;       // index of the mixer, from 0: of a block's among those that have one
  int64_t key_heads = 0;   // G, divides H; 0: H
  int64_t head_width = 0;  // D; 0: C/H, and H divides C
  bool biases = false;     // of the projections
  int64_t layers = 1;      // mixers of the model
  Context context = Context::self;
  bool causal = false;     // every call is; then context is self
  int64_t length = 0;      // most tokens of a sequence; 0: not known
  int64_t window = 0;      // tokens see others so far away; 0: at any distance
  Places places{};
  Positions positions = Positions::none;
  bool feed_forward = false;   // the block calls it behind its feed-forward layers too (nn/after_feed_forward.h)

  int64_t head_channels() const { return head_width ? head_width : width / heads; }   // D
  int64_t key_head_count() const { return key_heads ? key_heads : heads; }
  // Rotary positions turn pairs of channels, on a grid as many for rows as for columns.
  bool can_turn(int64_t channels) const { return channels % (places.on_grid() ? 4 : 2) == 0; }
};

// What a mixer cannot do without. A model that cannot give it is refused when it is made.
struct Needs {
  bool self = false;         // the context is the whole sequence of the queries
  bool all_tokens = false;   // no causal mask
  bool every_head = false;   // as many heads of keys as of queries
  bool whole_width = false;  // heads that have the channels of a token together: H·D = C
  bool any_distance = false;   // no window
  bool order = false;          // tokens that follow each other: not those at coordinates of several dimensions
  bool sequence = false;       // tokens in a sequence
  int64_t heads = 1;           // at least
  bool feed_forward = false;   // a place behind the feed-forward layers
  Places::Kind places = Places::Kind::sequence;   // sequence: no other than that, and any will do

  bool operator==(const Needs&) const = default;
};

// Throws an Error named after `model`, in one line, unless a mixer of this shape has what it needs.
void require_met(const char* model, const Needs& needs, const MixerShape& shape);

// What a mixer remembers of the tokens so far. It is made by its mixer.
class MixerState {
 public:
  virtual ~MixerState() = default;
  virtual std::unique_ptr<MixerState> copy() const = 0;
  virtual void reorder(const std::vector<int64_t>& rows) = 0;   // sample b becomes what sample rows[b] was
};

class TokenMixer : public Module {
 public:
  // x (B,T,C) queries come from it, context (B,S,C) keys and values: x itself, or a longer part of the same sequence, for
  // Context::self. Returns (B,T,C).
  virtual Tensor forward(const Tensor& x, const Tensor& context, const Call& call) = 0;

  virtual Needs needs() const { return {}; }

  // Whether the positions of its shape may be these.
  virtual bool accepts(Positions positions) const { return positions == Positions::none; }

  // Token by token, causal: forward of x (B,T,C), the tokens that follow those of the state, without looking at these again.
  // lengths[b]: tokens of sample b that the state has; call.mask.keys: those of x that are there, the first ones of a row.
  // Where lengths differ T must be 1. No gradients are recorded. Both throw Error where the mechanism has no state.
  virtual std::unique_ptr<MixerState> state(int64_t batch) const;
  virtual Tensor step(const Tensor& x, MixerState& state, const std::vector<int64_t>& lengths, const Call& call);
};

// Makes a mixer, for each block of a model.
using MixerMaker = std::function<std::unique_ptr<TokenMixer>(const MixerShape& shape)>;

}  // namespace tapir::nn
