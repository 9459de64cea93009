// One link of the chain rule, for kernels.
#pragma once
#include "tensor/scalar_math.h"

namespace tapir {

// g s, but 0 where one of them is 0 by nature: g where no output depends on the element, even if s is infinite or NaN there;
// s where the function does not depend on it, even if g is infinite. NaN in g stays.
template <class T>
HD_INLINE T chained(T g, T slope) {
  const T a = math::abs(slope), b = math::abs(g), smaller = math::select(a < b, a, b);   // |g| if one is NaN
  return math::select(smaller == T(0), T(0), g * slope);
}

}  // namespace tapir
