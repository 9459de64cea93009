#include "nn/models/transformer.h"

#include <algorithm>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "nn/models/sequence_positions.h"

namespace tapir::nn {
namespace {

constexpr double deviation = 0.02;   // of initial weights, as in GPT-2

// Tokens of each row that are there. Throws Error unless they are the first ones, and at least one.
std::vector<int64_t> tokens_there(const Tensor& keys, const Shape& tokens) {
  std::vector<int64_t> counts(tokens[0], tokens[1]);
  if (!keys.defined()) return counts;
  require(keys.dtype() == DType::u8 && keys.shape() == tokens, "step",
          [&] { return text("the key mask must be u8", tokens, ", got ", keys.dtype(), keys.shape()); });
  const std::vector<uint8_t> there = keys.values<uint8_t>();
  for (int64_t b = 0; b < tokens[0]; ++b) {
    const auto row = there.begin() + b * tokens[1], end = row + tokens[1];
    const auto padding = std::find(row, end, 0);
    counts[b] = padding - row;
    require(counts[b] > 0 && std::all_of(padding, end, [](uint8_t one) { return one == 0; }), "step",
            [&] { return text("row ", b, " of the key mask does not begin with its tokens"); }, "padding comes last");
  }
  return counts;
}

}  // namespace

DecoderState DecoderState::copy() const {
  DecoderState other{{}, lengths};
  for (const auto& block : blocks) other.blocks.push_back(block->copy());
  return other;
}

void DecoderState::reorder(const std::vector<int64_t>& rows) {
  std::vector<int64_t> reordered;
  for (const int64_t row : rows) {
    require(row >= 0 && row < static_cast<int64_t>(lengths.size()), "reorder",
            [&] { return text("there is no sample ", row, " among ", lengths.size()); });
    reordered.push_back(lengths[row]);
  }
  for (const auto& block : blocks) block->reorder(rows);
  lengths = std::move(reordered);
}

TransformerStack::TransformerStack(const char* name, const TransformerOptions& o)
    : options((require_allowed(name, o), o)), kind_(name),
      tokens_(child<Embedding>("tokens", o.vocabulary, o.width, Init::normal(deviation),
                               o.tied_head ? ParameterKind::head : ParameterKind::embedding)),
      positions_(o.positions == "learned" ? &child<Embedding>("positions", o.context, o.width, Init::normal(deviation))
                                          : nullptr),
      dropout_(child<Dropout>("dropout", o.dropout)),
      norm_(adopt("norm", norm_of(o))) {}

void TransformerStack::add_blocks(bool causal, const MixerMaker& mixer, const MixerMaker& cross) {
  blocks_ = &adopt("blocks", std::make_unique<Blocks>(kind_, options,
                                                      MixerShape{.causal = causal,
                                                                 .length = options.context,
                                                                 .window = options.window,
                                                                 .positions = attention_positions(options.positions)},
                                                      mixer, cross));
}

Tensor TransformerStack::position_vectors(int64_t begin, int64_t length, DType type, Device device) const {
  if (positions_) return slice(positions_->weight.value, 0, begin, length);
  return sequence_waves(begin, length, options.width, device).to(type);
}

Tensor TransformerStack::embedded(const Tensor& tokens, const std::vector<int64_t>& lengths, const Call& call) const {
  Tensor x = tokens_.forward(tokens);
  if (!unlimited()) {
    std::vector<Tensor> rows;   // one for all samples where they are at the same place
    for (const int64_t begin : lengths) rows.push_back(position_vectors(begin, tokens.size(1), x.dtype(), x.device()));
    x = add(x, rows.size() == 1 ? rows[0] : stack(rows, 0));
  }
  return dropout_.forward(x, call);
}

Call TransformerStack::in_window(Call call) const {
  if (options.window > 0) call.mask.window = options.window;
  return call;
}

Tensor TransformerStack::run(const Tensor& tokens, const Call& call, const Memory& memory) const {
  require(tokens.rank() == 2 && tokens.size(1) <= options.context, kind_, [&] {
    return text("tokens must be (B,T) with T ≤ ", options.context, ", got ", tokens.shape());
  });
  return norm_.forward(blocks_->forward(embedded(tokens, {0}, call), in_window(call), memory));
}

DecoderState TransformerStack::state(int64_t batch) const {
  require(batch > 0, "state", [&] { return text("needs at least one sample, got ", batch); });
  const Scope scope = enter();
  return {blocks_->state(batch), std::vector<int64_t>(batch, 0)};
}

Tensor TransformerStack::step(const Tensor& tokens, DecoderState& state, const Call& call) const {
  const auto batch = static_cast<int64_t>(state.lengths.size());
  require(tokens.rank() == 2 && tokens.size(0) == batch && tokens.size(1) > 0, "step",
          [&] { return text("tokens must be (", batch, ",T) as the state has samples, got ", tokens.shape()); });
  const std::vector<int64_t> counts = tokens_there(call.mask.keys, tokens.shape());
  const bool even = std::equal(state.lengths.begin() + 1, state.lengths.end(), state.lengths.begin());
  require(even || tokens.size(1) == 1, "step",
          [&] { return text("samples of different lengths go on by 1 token, got ", tokens.shape()); });
  for (int64_t b = 0; b < batch; ++b)
    require(
        unlimited() || state.lengths[b] + counts[b] <= options.context, "step",
        [&] {
          return text("sample ", b, " would have ", state.lengths[b] + counts[b], " tokens, ", options.positions,
                      " positions end at ", options.context);
        },
        "begin again with the last tokens, or choose rotary positions or a bias");
  const std::vector<int64_t> begins = even ? std::vector<int64_t>{state.lengths[0]} : state.lengths;
  const Tensor y = norm_.forward(blocks_->step(embedded(tokens, begins, call), state.blocks, state.lengths, in_window(call)));
  for (int64_t b = 0; b < batch; ++b) state.lengths[b] += counts[b];
  return y;
}

std::unique_ptr<Linear> TransformerStack::make_head() const {
  if (options.tied_head) return std::make_unique<Linear>(tokens_.weight, options.head_bias);
  return std::make_unique<Linear>(options.width, options.vocabulary, options.head_bias, Init::normal(deviation),
                                  Init::constant(0), ParameterKind::head);
}

LanguageModel::LanguageModel(const TransformerOptions& options, const MixerMaker& mixer)
    : TransformerStack("language model", options), head_(adopt("head", make_head())) {
  add_blocks(true, mixer);
}

Tensor LanguageModel::forward(const Tensor& tokens, const Call& call) const {
  const Scope scope = enter();
  Call causal = call;
  causal.mask.causal = true;
  return leave(head_.forward(run(tokens, causal)), tokens);
}

Tensor LanguageModel::step(const Tensor& tokens, DecoderState& state, const Call& call) const {
  const Scope scope = enter();
  const NoGrad guard;
  const std::vector<int64_t> before = state.lengths;
  const Tensor x = TransformerStack::step(tokens, state, call);
  std::vector<Tensor> last;
  for (int64_t b = 0; b < x.size(0); ++b)
    last.push_back(slice(slice(x, 0, b, 1), 1, state.lengths[b] - before[b] - 1, 1));
  return leave(reshape(head_.forward(concat(last, 0)), {x.size(0), -1}), tokens);
}

}  // namespace tapir::nn
