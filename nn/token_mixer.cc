#include "nn/token_mixer.h"

namespace tapir::nn {
namespace {

const char* place_of(Places::Kind kind) {
  constexpr const char* words[] = {"in a sequence", "on a grid", "at coordinates"};
  return words[static_cast<int>(kind)];
}

}  // namespace

void require_met(const char* model, const Needs& needs, const MixerShape& shape) {
  const auto require_that = [&](bool met, const auto&... what) {
    require(met, model, [&] { return text("the attention of block ", shape.layer, what...); });
  };
  require_that(!needs.self || shape.context == Context::self, " mixes one sequence, and cannot read another one");
  require_that(!needs.all_tokens || !shape.causal, " looks at all tokens, and cannot be causal");
  require_that(!needs.every_head || shape.key_head_count() == shape.heads, " needs as many heads of keys as of queries, ",
               shape.heads, ", got ", shape.key_head_count());
  require_that(!needs.whole_width || shape.head_width == 0 || shape.heads * shape.head_width == shape.width,
               " needs heads that have the ", shape.width, " channels of a token together, got ", shape.heads, " of ",
               shape.head_width);
  require_that(!needs.any_distance || shape.window == 0, " looks at any distance, and cannot have a window");
  require_that(!needs.order || shape.places.kind != Places::Kind::coordinates || shape.places.dimensions == 1,
               " needs tokens that follow each other, they stand at coordinates of ", shape.places.dimensions, " dimensions");
  require_that(!needs.sequence || shape.places.kind == Places::Kind::sequence, " needs tokens in a sequence, they stand ",
               place_of(shape.places.kind));
  require_that(shape.heads >= needs.heads, " needs at least ", needs.heads, " heads, got ", shape.heads);
  require_that(!needs.feed_forward || shape.feed_forward, " has a layer behind the feed-forward ones, where this model has no place");
  require_that(needs.places == Places::Kind::sequence || needs.places == shape.places.kind, " needs tokens ",
               place_of(needs.places), ", they stand ", place_of(shape.places.kind));
}

std::unique_ptr<MixerState> TokenMixer::state(int64_t) const {
  throw Error("state", "this attention cannot go on token by token", "give it the whole sequence");
}

Tensor TokenMixer::step(const Tensor&, MixerState&, const std::vector<int64_t>&, const Call&) {
  throw Error("step", "this attention cannot go on token by token", "give it the whole sequence");
}

}  // namespace tapir::nn
