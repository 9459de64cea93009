#include "nn/models/sequence_positions.h"

#include "nn/layers/waves.h"

namespace tapir::nn {

Positions attention_positions(const std::string& name) {
  for (const auto& [positions, own] : all_positions)
    if (name == own) return positions;
  return Positions::none;
}

Tensor sequence_waves(int64_t begin, int64_t length, int64_t width, Device device) {
  std::vector<double> table;
  for (int64_t place = begin; place < begin + length; ++place) {
    const std::vector<double> waves = wave_vector(place, width);
    table.insert(table.end(), waves.begin(), waves.end());
  }
  return Tensor::from(table, {length, width}, device);
}

}  // namespace tapir::nn
