#include "nn/models/operator_transformer.h"

#include <cmath>

#include "autograd/ops/unary.h"

namespace tapir::nn {
namespace {

constexpr const char* name = "operator transformer";

// Xavier's deviation for a weight (I,O,m,2) or (I,O,m,m,2), whose fans count modes and parts, times 1/(I O): that of the
// authors' code.
Init of_spectrum(int64_t in, int64_t out, int64_t modes, int64_t dimensions) {
  const auto I = static_cast<double>(in), O = static_cast<double>(out), m = static_cast<double>(modes);
  return Init::normal(std::sqrt(2 / ((I + O) * std::pow(m, dimensions) * 2)) / (I * O));
}

}  // namespace

OperatorTransformer::OperatorTransformer(const OperatorTransformerOptions& o, int64_t in, int64_t dimensions, int64_t out,
                                         const MixerMaker& mixer)
    : lift_((require_allowed(name, o), child<Linear>("lift", in, o.width, true, Init::fan_in(in), Init::fan_in(in)))),
      dropout_(child<Dropout>("dropout", o.dropout)),
      blocks_(child<Blocks>("blocks", name, o,
                            MixerShape{.places = {.kind = Places::Kind::coordinates, .dimensions = dimensions}}, mixer)),
      decoder_([&] {
        std::vector<SpectralConvolution*> layers;
        for (int64_t k = 0; k < o.decoder_layers; ++k) {
          const int64_t width = k == 0 ? o.width : o.decoder_width;
          layers.push_back(&child<SpectralConvolution>(text("decoder.", k), width, o.decoder_width, o.modes,
                                                       dimensions, of_spectrum(width, o.decoder_width, o.modes, dimensions)));
        }
        return layers;
      }()),
      hidden_(child<Linear>("hidden", o.decoder_width, o.decoder_width, true, Init::fan_in(o.decoder_width),
                            Init::fan_in(o.decoder_width))),
      out_(child<Linear>("out", o.decoder_width, out, true, Init::fan_in(o.decoder_width), Init::fan_in(o.decoder_width))) {
}

Tensor OperatorTransformer::forward(const Tensor& function, const Tensor& places, const Call& call) const {
  const Scope scope = enter();
  Call own = call;
  own.places = own.context_places = places;
  Tensor x = blocks_.forward(dropout_.forward(lift_.forward(function), call), own);
  for (const SpectralConvolution* layer : decoder_) x = silu(layer->forward(x));
  return leave(out_.forward(silu(hidden_.forward(x))), function, places);
}

}  // namespace tapir::nn
