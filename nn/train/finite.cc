#include "nn/train/finite.h"

#include <algorithm>
#include <cmath>

namespace tapir {

void require_finite(std::string_view where, std::string_view what, double value, std::string_view hint) {
  if (!std::isfinite(value)) throw NotFinite(where, text(what, " is ", std::isnan(value) ? std::fabs(value) : value), hint);
}

void require_finite(std::string_view where, std::string_view what, const Tensor& tensor, std::string_view hint) {
  if (tensor.dtype() != DType::f32 && tensor.dtype() != DType::f64) return;
  const Tensor dense = tensor.contiguous().to(Device::cpu);
  with_float("finite", dense.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *const begin = dense.data<T>(), *const end = begin + dense.elements();
    if (std::all_of(begin, end, [](T x) { return std::isfinite(x); })) return;
    const auto nan = std::count_if(begin, end, [](T x) { return std::isnan(x); }),
               infinite = std::count_if(begin, end, [](T x) { return std::isinf(x); });
    throw NotFinite(where, text(what, " has ", nan, " NaN and ", infinite, " infinite among ", dense.dtype(), dense.shape()),
                    hint);
  });
}

}  // namespace tapir
