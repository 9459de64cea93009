#include "attention/kernels/alibi.h"

#include <bit>
#include <cmath>

#include "tensor/mask.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

template <class T> struct DistanceTerm {
  const double* slopes;
  T* bias;
  int64_t queries, keys, offset;
  HD void operator()(int64_t i) const {
    const int64_t s = i % keys, t = i / keys % queries + offset;
    bias[i] = static_cast<T>(-slopes[i / (keys * queries)] * static_cast<double>(t < s ? s - t : t - s));
  }
};

}  // namespace

std::vector<double> alibi_slopes(int64_t heads) {
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(heads)));
  std::vector<double> slopes;
  for (int64_t h = 0; h < heads; ++h) {
    const double exponent = h < power ? static_cast<double>(h + 1) : static_cast<double>(h - power) + 0.5;
    slopes.push_back(std::exp2(-8 * exponent / static_cast<double>(power)));
  }
  return slopes;
}

Tensor alibi_bias(int64_t heads, int64_t queries, int64_t keys, int64_t offset, DType type, Device device) {
  require_offset("alibi", offset);
  const Tensor bias = Tensor::empty({heads, queries, keys}, type, device);
  if (bias.elements() == 0) return bias;   // whatever the heads
  const Tensor slopes = Tensor::from(alibi_slopes(heads), {heads}, device);
  with_float("alibi", type, [&](auto zero) {
    using T = decltype(zero);
    for_each(device, bias.elements(), DistanceTerm<T>{slopes.data<double>(), bias.data<T>(), queries, keys, offset});
  });
  return bias;
}

}  // namespace tapir
