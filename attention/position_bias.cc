#include "attention/position_bias.h"

#include <cstdlib>

#include "attention/biases/fire.h"
#include "attention/biases/kerple_log.h"
#include "attention/biases/t5.h"
#include "attention/kernels/alibi.h"
#include "tensor/mask.h"

namespace tapir {
namespace {

struct Alibi final : PositionBias {
  Tensor forward(const Tensor& E, int64_t offset) const override {
    return alibi_bias(E.size(1), E.size(2), E.size(3), offset, E.dtype(), E.device());
  }
};

}  // namespace

std::unique_ptr<PositionBias> make_position_bias(const nn::MixerShape& shape) {
  switch (shape.positions) {
    case nn::Positions::alibi: return std::make_unique<Alibi>();
    case nn::Positions::kerple_log: return std::make_unique<KerpleLog>(shape.heads);
    case nn::Positions::fire: return std::make_unique<Fire>(shape.heads);
    case nn::Positions::t5: return std::make_unique<T5Bias>(shape);
    case nn::Positions::none:
    case nn::Positions::rotary: break;
  }
  throw Error("position_bias", text("there is none for ", nn::name_of(shape.positions), " positions"));
}

Tensor distances(const Tensor& E, int64_t offset) {
  require_offset("position_bias", offset);
  std::vector<double> all;
  all.reserve(E.size(2) * E.size(3));
  for (int64_t t = 0; t < E.size(2); ++t)
    for (int64_t s = 0; s < E.size(3); ++s) all.push_back(static_cast<double>(std::abs(offset + t - s)));
  return Tensor::from(all, {E.size(2), E.size(3)}, E.device()).to(E.dtype());
}

}  // namespace tapir
