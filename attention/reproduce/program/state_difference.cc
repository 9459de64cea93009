#include "attention/reproduce/program/state_difference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "tensor/error.h"

namespace tapir {
namespace {

// Indices of the element that is the `place`-th, row by row.
std::string index_of(int64_t place, const Shape& shape) {
  std::string index;
  for (int64_t axis = shape.rank() - 1; axis >= 0; --axis) {
    index = text(place % shape[axis], index.empty() ? "" : ", ", index);
    place /= shape[axis];
  }
  return text('[', index, ']');
}

std::string compare(const Tensor& a, const Tensor& b, double tolerance) {   // "" where they are the same
  if (a.shape() != b.shape()) return text("shape ", a.shape(), " against ", b.shape());
  const std::vector<double> x = a.to(DType::f64).values<double>(), y = b.to(DType::f64).values<double>();
  double scale = 0;
  for (const double value : x) scale = std::max(scale, std::abs(value));
  int64_t differ = 0;
  size_t worst = 0;
  double largest = -1;
  for (size_t k = 0; k < x.size(); ++k) {
    const double distance = std::abs(x[k] - y[k]);
    if (std::bit_cast<uint64_t>(x[k]) == std::bit_cast<uint64_t>(y[k])) continue;
    if (tolerance > 0 && distance <= tolerance * scale) continue;
    ++differ;
    if (distance > largest || std::isnan(distance)) worst = k, largest = std::isnan(distance) ? HUGE_VAL : distance;
  }
  if (differ == 0) return "";
  return text(index_of(static_cast<int64_t>(worst), a.shape()), ' ', x[worst], " against ", y[worst], ", ", differ, " of ",
              x.size(), " numbers");
}

}  // namespace

std::vector<TensorDifference> state_differences(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b,
                                                double tolerance) {
  std::map<std::string, Tensor> others;
  for (const NamedTensor& one : b) others[one.name] = one.tensor;
  std::vector<TensorDifference> differences;
  for (const NamedTensor& one : a) {
    const auto other = others.find(one.name);
    std::string words = other == others.end() ? "is in the first alone" : compare(one.tensor, other->second, tolerance);
    if (!words.empty()) differences.push_back({one.name, std::move(words)});
    if (other != others.end()) others.erase(other);
  }
  for (const NamedTensor& one : b)
    if (others.contains(one.name)) differences.push_back({one.name, "is in the second alone"});
  return differences;
}

}  // namespace tapir
