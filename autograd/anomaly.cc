#include "autograd/anomaly.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/dry_run.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

template <class T> struct NotFinite {
  const T* x;
  HD T operator()(int64_t i) const { return x[i] - x[i] == 0 ? T(0) : T(1); }
};

bool all_finite(const Tensor& x) {
  if ((x.dtype() != DType::f32 && x.dtype() != DType::f64) || DryRun::current()) return true;
  const Tensor dense = x.detach().contiguous();
  return with_float("anomaly", x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Tensor count = Tensor::empty({}, x.dtype(), x.device());
    full_sum(x.device(), x.elements(), NotFinite<T>{dense.data<T>()}, count.data<T>());
    return count.item() == 0;
  });
}

// f64[2,3] from −1 to 3, with 1 NaN and 0 infinite, the first at index 2
std::string described(const Tensor& x) {
  std::string line = text(x.dtype(), x.shape());
  if (x.dtype() != DType::f32 && x.dtype() != DType::f64) return line;
  const std::vector<double> values = x.detach().to(DType::f64).values<double>();
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double value : values)
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  if (low <= high) line += text(" from ", low, " to ", high);
  const auto nan = std::count_if(values.begin(), values.end(), [](double value) { return std::isnan(value); }),
             infinite = std::count_if(values.begin(), values.end(), [](double value) { return std::isinf(value); });
  if (nan + infinite == 0) return line;
  const auto first = std::find_if(values.begin(), values.end(), [](double value) { return !std::isfinite(value); });
  return line + text(", with ", nan, " NaN and ", infinite, " infinite, the first at index ", first - values.begin());
}

std::string described(const std::vector<Tensor>& all) {
  std::string line;
  for (const Tensor& x : all) line += (line.empty() ? "" : "; ") + described(x);
  return line;
}

std::string within() {
  const BackwardOf* outer = BackwardOf::innermost();
  return outer ? text(", inside the backward of '", outer->node.name, "'") : "";
}

}  // namespace

// Ops inside a backward are judged by what that backward returns.
void AnomalyMode::applied(const char* op, const std::vector<Tensor>& inputs, const Tensor& y) {
  if (BackwardOf::innermost() || all_finite(y)) return;
  throw Anomaly(op, text("forward gives ", described(y), "; inputs: ", described(inputs)));
}

void AnomalyMode::arrived(const Node& node, const Tensor& g) {
  if (all_finite(g)) return;
  throw Anomaly(node.name, text("backward is given a gradient that is not finite", within(), ": ", described(g)));
}

void AnomalyMode::went_back(const Node& node, const Tensor& g, const std::vector<Tensor>& gradients) {
  for (size_t i = 0; i < gradients.size(); ++i)
    if (gradients[i].defined() && !all_finite(gradients[i]))
      throw Anomaly(node.name, text("backward gives ", described(gradients[i]), " for input ", i, within(),
                                    "; the gradient of its output: ", described(g)));
}

}  // namespace tapir
