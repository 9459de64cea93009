#include "attention/projected.h"

#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "attention/kernels/rotary.h"
#include "autograd/ops/shape.h"

namespace tapir {

const char* name_of(Projection projection) {
  constexpr const char* names[] = {"query", "key", "value", "out"};
  return names[static_cast<int>(projection)];
}

Widths widths_of(Projection which, const MixerShape& shape) {
  const int64_t C = shape.width, D = shape.head_channels();
  if (which == Projection::out) return {shape.heads * D, C};
  return {C, (which == Projection::query ? shape.heads : shape.key_head_count()) * D};
}

ProjectedAttention::ProjectedAttention(const MixerShape& shape, const std::set<Projection>& replaced) : shape_(shape) {
  require(shape.width > 0 && shape.heads > 0 && shape.layer >= 0 && shape.key_heads >= 0 && shape.head_width >= 0, "attention",
          [&] {
            return text("width and heads must be positive, layer, key heads and head width not negative: got width ",
                        shape.width, ", ", shape.heads, " heads, layer ", shape.layer, ", ", shape.key_heads,
                        " key heads, head width ", shape.head_width);
          });
  require(
      shape.head_width > 0 || shape.width % shape.heads == 0, "attention",
      [&] { return text("the width ", shape.width, " is not a multiple of the ", shape.heads, " heads"); },
      "or choose a head width");
  require(shape.heads % shape.key_head_count() == 0, "attention",
          [&] { return text("the ", shape.heads, " heads are not a multiple of the ", shape.key_heads, " key heads"); });
  for (const Projection which : {Projection::query, Projection::key, Projection::value, Projection::out})
    if (!replaced.contains(which)) {
      const Widths widths = widths_of(which, shape);
      linear_[which] = &child<nn::Linear>(name_of(which), widths.in, widths.out, shape.biases, nn::Init::normal(0.02));
    }
}

ProjectedAttention::Heads ProjectedAttention::projected(const Tensor& x, const Tensor& context, const nn::Call& call) const {
  const Tensor visible = without_hidden(context, call.mask);
  const auto of_keys = [&](Projection which) {   // 0 where a token is hidden, and a bias is not 0
    return without_hidden(split_heads(project(which, visible), shape_.key_head_count()), call.mask);
  };
  return {split_heads(project(Projection::query, x), shape_.heads), of_keys(Projection::key), of_keys(Projection::value)};
}

Tensor ProjectedAttention::merged(const Tensor& heads) const { return project(Projection::out, merge_heads(heads)); }

void ProjectedAttention::require_mask(const Mask& mask) const {
  require_places("attention", mask);
  require(mask.window == 0 || !needs().any_distance, "attention",
          [] { return "this mechanism looks at any distance, and the mask has a window"; });
  require(!mask.causal || !needs().all_tokens, "attention",
          [] { return "this mechanism looks at all tokens, and the mask is causal"; });
}

std::unique_ptr<nn::MixerState> ProjectedAttention::state(int64_t batch) const {
  std::unique_ptr<nn::MixerState> empty = needs().all_tokens ? nullptr : empty_state();
  return empty ? std::move(empty) : TokenMixer::state(batch);
}

Tensor ProjectedAttention::forward(const Tensor& x, const Tensor& context, const nn::Call& call) {
  const Scope scope = enter();
  require(
      x.rank() == 3 && context.rank() == 3 && x.size(2) == shape_.width && context.size(2) == shape_.width, "attention",
      [&] { return text("x and context must be (B,T,", shape_.width, "), got ", x.shape(), " and ", context.shape()); });
  require(!needs().self || (x.shares_storage(context) && x.offset() == context.offset() && x.shape() == context.shape()),
          "attention", [] { return "this mechanism mixes one sequence, and the context is another tensor than x"; },
          "x itself is the context of self-attention");
  require_mask(call.mask);
  return leave(answered(projected(x, context, call), context, call), x, context);
}

Tensor ProjectedAttention::answered(const Heads& heads, const Tensor&, const nn::Call& call) const {
  return merged(attended(placed(heads.Q, call.mask.offset, call), repeat_heads(placed(heads.K, 0, call), shape_.heads),
                         repeat_heads(heads.V, shape_.heads), call));
}

Tensor ProjectedAttention::attend(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const {
  require_mask(call.mask);
  return attended(placed(Q, call.mask.offset, call), repeat_heads(placed(without_hidden(K, call.mask), 0, call), shape_.heads),
                  repeat_heads(without_hidden(V, call.mask), shape_.heads), call);
}

Tensor ProjectedAttention::project(Projection which, const Tensor& x) const { return linear_.at(which)->forward(x); }

Tensor ProjectedAttention::placed(const Tensor& x, const std::vector<int64_t>& begins, const nn::Call& call) const {
  std::vector<Tensor> samples;
  for (size_t b = 0; b < begins.size(); ++b)
    samples.push_back(placed(slice(x, 0, static_cast<int64_t>(b), 1), begins[b], call));
  return concat(samples, 0);
}

Tensor ProjectedAttention::placed(const Tensor& x, int64_t begin, const nn::Call&) const {
  if (shape_.positions != nn::Positions::rotary) return x;
  const nn::Places& places = shape_.places;
  return places.on_grid() ? rotary_grid(x, places.class_tokens, places.rows, places.columns)
                                               : rotary(x, begin);
}

}  // namespace tapir
