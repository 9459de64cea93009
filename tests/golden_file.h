// Values that scripts of tests/golden/ recorded.
#pragma once
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tensor/tensor.h"

namespace tapir {

inline nlohmann::json golden_file(const std::string& name) {
  std::ifstream file(TAPIR_SOURCE_DIR "/tests/golden/" + name);
  REQUIRE(file.good());
  return nlohmann::json::parse(file);
}

inline Tensor golden_tensor(const nlohmann::json& entry) {   // f64, of {"shape": […], "data": […]}
  Shape shape;
  for (const int64_t extent : entry.at("shape")) shape.push_back(extent);
  return Tensor::from(entry.at("data").get<std::vector<double>>(), shape);
}

}  // namespace tapir
