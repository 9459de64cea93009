#include "nn/models/series_transformer.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "nn/models/sequence_positions.h"

namespace tapir::nn {
namespace {

constexpr const char* name = "series transformer";
constexpr double deviation = 0.02;   // of initial weights, as in GPT-2

int64_t tokens_of(const SeriesTransformerOptions& options, int64_t samples) {
  require_allowed(name, options);
  require(
      samples > 0 && samples % options.patch == 0, name,
      [&] { return text("patches of ", options.patch, " do not divide series of ", samples, " samples"); },
      "choose another model.patch");
  return samples / options.patch;
}

}  // namespace

SeriesTransformer::SeriesTransformer(const SeriesTransformerOptions& o, int64_t samples, int64_t in, int64_t out,
                                     const MixerMaker& mixer)
    : samples_(samples), in_(in), out_(out), tokens_(tokens_of(o, samples)),
      embed_(child<Linear>("embed", o.patch * in, o.width, true, Init::fan_in(o.patch * in), Init::fan_in(o.patch * in))),
      positions_(o.positions == "learned"
                     ? &parameter("positions", {tokens_, o.width}, ParameterKind::embedding, Init::normal(deviation))
                     : nullptr),
      waves_(o.positions == "sinusoidal" ? sequence_waves(0, tokens_, o.width, Device::cpu) : Tensor()),
      dropout_(child<Dropout>("dropout", o.dropout)),
      blocks_(child<Blocks>("blocks", name, o,
                            MixerShape{.length = tokens_, .positions = attention_positions(o.positions)}, mixer)),
      norm_(adopt("norm", norm_of(o))),
      head_(child<Linear>("head", o.width, o.patch * out, true, Init::normal(deviation), Init::constant(0),
                          ParameterKind::head)) {}

Tensor SeriesTransformer::forward(const Tensor& series, const Call& call) const {
  const Scope scope = enter();
  require(series.rank() == 3 && series.size(1) == samples_ && series.size(2) == in_, name,
          [&] { return text("a series must be (B,", samples_, ",", in_, "), got ", series.shape()); });
  if (call.records("patch"))
    call.record("patch", Tensor::from(std::vector<int32_t>{static_cast<int32_t>(samples_ / tokens_)}, {1}, Device::cpu));
  const int64_t B = series.size(0);
  Tensor x = embed_.forward(reshape(series, {B, tokens_, -1}));
  if (positions_) x = add(x, positions_->value);
  if (waves_.defined()) x = add(x, waves_.to(x.dtype()).to(x.device()));
  x = norm_.forward(blocks_.forward(dropout_.forward(x, call), call));
  return leave(reshape(head_.forward(x), {B, samples_, out_}), series);
}

}  // namespace tapir::nn
