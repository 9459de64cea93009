// A batch: named tensors, a pure function of seed and step. Names say what a model takes ("tokens", "coordinates") and what it
// is judged by ("targets").
#pragma once
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace tapir {

class Batch {
 public:
  Batch(std::initializer_list<std::pair<const std::string, Tensor>> tensors) : tensors_(tensors) {}

  const Tensor& at(const std::string& name) const {   // throws Error that lists those that there are
    const auto found = tensors_.find(name);
    std::string known;
    for (const auto& [own, tensor] : tensors_) known += (known.empty() ? "" : ", ") + own;
    require(found != tensors_.end(), "batch", [&] { return text("has no '", name, "'; it has: ", known); });
    return found->second;
  }

 private:
  std::map<std::string, Tensor> tensors_;
};

}  // namespace tapir
