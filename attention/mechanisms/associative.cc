#include "attention/mechanisms/associative.h"

#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "nn/after_feed_forward.h"
#include "nn/blocks.h"

namespace tapir {
namespace {

// Of a network with the h nearest to as many parameters as a workspace: it has h (2 C + 1) + C.
nn::BlockOptions dense_options(const AssociativeOptions& options, int64_t width) {
  nn::BlockOptions own;
  own.width = width;
  own.hidden = Workspace(options, width).parameter_count() / (2 * width + 1);   // at least 2
  return own;
}

class Associative final : public StagedAttention, public nn::AfterFeedForward {
 public:
  Associative(const AssociativeOptions& options, const MixerShape& shape)
      : StagedAttention(shape), norm_(child<nn::LayerNorm>("feed_forward_norm", shape.width)),
        workspace_(options.layer == "workspace" ? &child<Workspace>("workspace", options, shape.width) : nullptr),
        dense_(workspace_ ? nullptr : &child<nn::FeedForward>("dense", dense_options(options, shape.width))) {}

  nn::Needs needs() const override { return {.self = true, .feed_forward = true}; }   // which tokens are there is known of keys

  // A token that is not there neither writes nor reads.
  Tensor after_feed_forward(const Tensor& x, const nn::Call& call) override {
    const Scope scope = enter();
    const Tensor z = norm_.forward(without_hidden(x, call.mask));
    const Tensor y = add(z, workspace_ ? workspace_->forward(z, call) : dense_->forward(z, call));
    return call.mask.keys.defined() ? where(reshape(call.mask.keys, {x.size(0), x.size(1), 1}), y, x) : y;
  }

 private:
  nn::LayerNorm& norm_;
  Workspace* const workspace_;        // one of the two
  nn::FeedForward* const dense_;
};

}  // namespace

std::unique_ptr<nn::TokenMixer> make_associative(const AssociativeOptions& options, const MixerShape& shape) {
  nn::require_allowed("associative", options);
  return std::make_unique<Associative>(options, shape);
}

Mechanism associative_row() {
  return row_of<AssociativeOptions>(
      {.name = "associative",
       .title = "Associative Transformer",
       .paper = "Sun et al. 2023, arXiv 2309.12862",
       .equation = "behind the feed-forward network: z + Pᵀ softmax(β P z), P of a memory that batches write",
       .cost = "4 D operations a pair, memory T × S; 4 M C operations a token, in training 4 S m (C + M) more"},
      [](const AssociativeOptions& options) {
        Claims claims = and_exact(staged_claims);
        claims.batch_independent = options.layer == "dense" || options.read == "old";
        return claims;
      },
      make_associative);
}

}  // namespace tapir
