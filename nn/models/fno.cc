#include "nn/models/fno.h"

#include "autograd/ops/shape.h"
#include "autograd/ops/unary.h"

namespace tapir::nn {

Fno::Fno(const FnoOptions& o, int64_t in, int64_t dimensions, int64_t out)
    : lift_((require_allowed("fno", o), child<Linear>("lift", in + dimensions, o.width, true, Init::fan_in(in + dimensions),
                                                      Init::fan_in(in + dimensions)))),
      layers_([&] {
        std::vector<SpectralConvolution*> layers;
        const Init init = Init::uniform(1 / static_cast<double>(o.width * o.width));
        for (int64_t k = 0; k < o.layers; ++k)
          layers.push_back(&child<SpectralConvolution>(text("layers.", k), o.width, o.width, o.modes, dimensions, init));
        return layers;
      }()),
      hidden_(child<Linear>("hidden", o.width, 2 * o.width, true, Init::fan_in(o.width), Init::fan_in(o.width))),
      out_(child<Linear>("out", 2 * o.width, out, true, Init::fan_in(2 * o.width), Init::fan_in(2 * o.width))) {}

Tensor Fno::forward(const Tensor& function, const Tensor& places) const {
  const Scope scope = enter();
  Tensor x = lift_.forward(concat({function, places}, 2));
  for (const SpectralConvolution* layer : layers_) x = layer == layers_.back() ? layer->forward(x) : relu(layer->forward(x));
  return leave(out_.forward(relu(hidden_.forward(x))), function, places);
}

}  // namespace tapir::nn
