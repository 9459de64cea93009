#include "attention/biases/t5.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "autograd/ops/shape.h"
#include "tensor/mask.h"

namespace tapir {
namespace {

constexpr int64_t buckets = 32, farthest = 128;

}  // namespace

int32_t t5_bucket(int64_t ahead, bool causal) {
  const int64_t own = causal ? buckets : buckets / 2, exact = own / 2;
  const int64_t first = !causal && ahead > 0 ? own : 0, distance = causal ? std::max<int64_t>(-ahead, 0) : std::abs(ahead);
  if (distance < exact) return static_cast<int32_t>(first + distance);
  if (distance >= farthest) return static_cast<int32_t>(first + own - 1);
  const double share = std::log2(static_cast<double>(distance) / exact) / std::log2(static_cast<double>(farthest) / exact);
  return static_cast<int32_t>(first + exact + static_cast<int64_t>(share * static_cast<double>(own - exact)));
}

T5Bias::T5Bias(const nn::MixerShape& shape)
    : causal(shape.causal),
      table(child<nn::Embedding>("table", buckets, shape.heads,
                                 nn::Init::normal(1 / std::sqrt(static_cast<double>(shape.width))))) {}

Tensor T5Bias::forward(const Tensor& E, int64_t offset) const {
  const Scope scope = enter();
  require_offset("position_bias", offset);
  const int64_t T = E.size(2), S = E.size(3);
  std::vector<int32_t> all;
  all.reserve(T * S);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t s = 0; s < S; ++s) all.push_back(t5_bucket(s - offset - t, causal));
  return leave(permute(table.forward(Tensor::from(all, {T, S}, E.device())), {2, 0, 1}), E);
}

}  // namespace tapir
