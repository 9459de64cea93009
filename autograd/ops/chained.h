// One link of the chain rule, for kernels.
#pragma once
#include "tensor/scalar_math.h"

namespace tapir {

// g s, but 0 where one of them is 0 by nature: g where no output depends on the element, even if s is infinite or NaN there;
// s where the function does not depend on it, even if g is infinite. NaN in g stays.
template <class T>
HD_INLINE T chained(T g, T slope) {
  const T product = g * slope;
  const T of_infinite = math::select(slope == T(0), T(0), product);
  return math::select(g == T(0), T(0), math::select(math::abs(g) == math::Format<T>::infinity, of_infinite, product));
}

}  // namespace tapir
