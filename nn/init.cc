#include "nn/init.h"

#include <cmath>

#include "tensor/elementwise.h"
#include "tensor/random.h"

namespace tapir::nn {

Init Init::fan_in(int64_t inputs) { return uniform(1 / std::sqrt(static_cast<double>(inputs))); }

void Init::fill(Tensor& value, const RandomKey& key) const {
  switch (rule_) {
    case Rule::constant: return fill_(value, parameter_);
    case Rule::normal: return normal_(value, 0, parameter_, key);
    case Rule::uniform: return uniform_(value, -parameter_, parameter_, key);
  }
}

}  // namespace tapir::nn
