#include "autograd/diagnosis.h"

#include <cmath>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

using Values = std::vector<double>;

double dot(const Values& a, const Values& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

// Whether x = c t, but for rounding of the differences.
bool equal(const Values& x, double c, const Values& t) {
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) error += (x[i] - c * t[i]) * (x[i] - c * t[i]);
  return error <= 1e-10 * dot(x, x);
}

// The c of x ≈ c t.
double factor_of(const Values& x, const Values& t) {
  const double size = dot(t, t);
  return size > 0 ? dot(x, t) / size : 0;
}

// "3", "1/3": what stands in derivatives, up to 10,000; empty for other numbers.
std::string plain(double c) {
  constexpr double largest = 10000;
  const double size = std::fabs(c), whole = std::round(size), inverse = std::round(1 / size);
  const std::string sign = c < 0 ? "-" : "";
  if (whole >= 1 && whole <= largest && std::fabs(size - whole) <= 1e-5 * size) return sign + text(whole);
  if (inverse >= 1 && inverse <= largest && std::fabs(size * inverse - 1) <= 1e-5) return sign + text("1/", inverse);
  return "";
}

std::string constant_factor(const WrongGradient& w) {
  const double c = factor_of(w.numeric, w.analytic);
  if (c == 0 || std::fabs(c - 1) < 1e-3 || !equal(w.numeric, c, w.analytic)) return "";
  const std::string number = plain(c);
  if (number == "-1") return "the sign is wrong";
  if (!number.empty()) return "factor " + number + " missing";
  const double rounded = std::round(100 * c) / 100;   // 1.25, not 1.00004
  const bool simple = rounded != 0 && std::fabs(c - rounded) <= 1e-5 * std::fabs(c);
  return simple && w.numeric.size() > 2 ? text("factor ", rounded, " missing") : "";   // one number is a multiple of any other
}

std::string added_constant(const WrongGradient& w) {
  if (w.numeric.size() < 3) return "";
  Values added = w.analytic;
  for (size_t i = 0; i < added.size(); ++i) added[i] -= w.numeric[i];
  const Values ones(added.size(), 1.0);
  const double c = factor_of(added, ones);
  return c != 0 && equal(added, c, ones) ? text("a constant is added, ", c) : "";
}

// analytic as (…,N,M), read as the transpose of (…,M,N)
std::string transposed(const WrongGradient& w) {
  const Shape& shape = w.inputs[w.argument].shape();
  if (shape.rank() < 2) return "";
  const int64_t M = shape[-2], N = shape[-1];
  Values exchanged(w.analytic.size());
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int64_t matrix = i / (M * N) * (M * N), row = i % (M * N) / N, column = i % N;
    exchanged[i] = w.analytic[matrix + column * M + row];
  }
  return equal(w.numeric, 1, exchanged) ? "transposed: the last two axes are exchanged" : "";
}

// Whether the gradient is that of one index along an axis of y alone.
std::string sum_left_out(const WrongGradient& w) {
  const Values g = w.g.values<double>();
  const Shape& shape = w.y.shape();
  const int64_t outputs = shape.elements();
  int64_t inner = outputs;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    inner /= shape[axis];
    if (shape[axis] == 1) continue;
    for (const int64_t index : {int64_t{0}, shape[axis] - 1}) {
      Values part(w.numeric.size());
      for (size_t i = 0; i < part.size(); ++i)
        for (int64_t k = 0; k < outputs; ++k)
          if (k / inner % shape[axis] == index) part[i] += g[k] * w.jacobian[static_cast<int64_t>(i) * outputs + k];
      if (equal(w.analytic, 1, part))
        return text("sum over axis ", axis, " of the output left out: index ", index, " alone is counted");
    }
  }
  return "";
}

struct Term {
  std::string name;
  Tensor value;
};

Term operator*(const Term& a, const Term& b) {
  return {a.name == "1" ? b.name : b.name == "1" ? a.name : a.name + " " + b.name, mul(a.value, b.value)};
}

bool expands(const Shape& from, const Shape& to) {
  bool fits = from.rank() <= to.rank();
  for (int axis = -1; fits && axis >= -from.rank(); --axis) fits = from[axis] == to[axis] || from[axis] == 1;
  return fits;
}

// A product of g with at most two of 1, y, x₀, x₁, …; such a sum over the last axis times one of them, also divided by what
// rows are normalised by.
std::string missing_term(const WrongGradient& w) {
  const NoGrad guard;
  const Tensor& x = w.inputs[w.argument];
  const Shape common = expands(x.shape(), w.y.shape()) ? w.y.shape() : x.shape();
  if (!expands(x.shape(), common) || !expands(w.y.shape(), common)) return "";
  std::vector<Term> factors{{"1", Tensor::full(common, 1, DType::f64)}, {"y", expand(w.y, common)}};
  for (size_t i = 0; i < w.inputs.size(); ++i)
    if (expands(w.inputs[i].shape(), common))
      factors.push_back({w.inputs.size() == 1 ? "x" : text('x', i), expand(w.inputs[i], common)});

  std::vector<Term> terms;
  const Term g{"g", expand(w.g, common)};
  for (size_t a = 0; a < factors.size(); ++a)
    for (size_t b = a; b < factors.size(); ++b) terms.push_back(g * (factors[a] * factors[b]));
  if (common.rank() > 0)
    for (const Term& inside : factors) {
      const Term product = g * inside;
      const Term total{"sum(" + product.name + ")", expand(sum(product.value, -1, true), common)};
      for (const Term& outside : factors) terms.push_back(outside * total);
    }
  if (x.shape() == common && common.rank() > 0 && common[-1] > 1) {
    const double length = static_cast<double>(common[-1]);
    const Tensor centred = sub(x, affine(sum(x, -1, true), 1 / length, 0));
    const auto inverse_root = [&](const Tensor& of, double share) {   // (share Σ of²)^−½
      return expand(rsqrt(affine(sum(square(of), -1, true), share, 0)), common);
    };
    const std::vector<std::pair<Term, double>> divided{{{"1/rms(x)", inverse_root(x, 1 / length)}, 1 / length},
                                                       {{"1/σ(x)", inverse_root(centred, 1 / length)}, 1 / length},
                                                       {{"1/|x|", inverse_root(x, 1)}, 1}};
    for (const auto& [r, share] : divided)
      for (const Term& inside : factors)
        for (const Term& outside : factors) {
          const Term product = g * inside;
          const Tensor total = expand(affine(sum(product.value, -1, true), share, 0), common);
          terms.push_back(r * (outside * Term{(share == 1 ? "sum(" : "mean(") + product.name + ")", total}));
        }
  }

  Values missing = w.numeric;
  for (size_t i = 0; i < missing.size(); ++i) missing[i] -= w.analytic[i];
  for (const Term& term : terms) {
    const Values values = sum_to(term.value, x.shape()).values<double>();
    const double c = factor_of(missing, values);
    const std::string number = plain(c);
    if (number.empty() || !equal(missing, c, values)) continue;
    return "term " + (number == "1" ? "" : number == "-1" ? "-" : number + " ") + term.name + " missing";
  }
  return "";
}

}  // namespace

bool exchanged(const WrongGradient& a, const WrongGradient& b) {
  return a.numeric.size() == b.numeric.size() && equal(a.numeric, 1, b.analytic) && equal(b.numeric, 1, a.analytic);
}

std::string diagnose(const WrongGradient& wrong) {
  if (dot(wrong.analytic, wrong.analytic) == 0) return "no gradient is passed on";
  if (wrong.y.elements() == 0) return "one of an empty output, which has none but 0";
  for (const auto candidate : {constant_factor, added_constant, transposed, sum_left_out, missing_term})
    if (const std::string found = candidate(wrong); !found.empty()) return found;
  return "";
}

}  // namespace tapir
