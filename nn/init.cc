#include "nn/init.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "tensor/argument.h"
#include "tensor/elementwise.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tensor/view.h"

namespace tapir::nn {
namespace {

// Row k is taken out of row k + 1 + `row`: a ← a − ⟨q, a⟩ q
struct ProjectRow {
  double* rows;
  int64_t k, n;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const double* q = rows + k * n;
    double* a = rows + (k + 1 + row) * n;
    const double product = team.sum(n, [&](int64_t i) { return q[i] * a[i]; });
    team.each(n, [&](int64_t i) { a[i] -= product * q[i]; });
  }
};

// Rows (M,N), M ≤ N, made orthonormal by the modified process of Gram and Schmidt, twice: once loses orthogonality where
// rows are nearly dependent.
void orthonormalise(double* rows, int64_t m, int64_t n) {
  for (int pass = 0; pass < 2; ++pass)
    for (int64_t k = 0; k < m; ++k) {
      double* q = rows + k * n;
      const double length = std::sqrt(Team{}.sum(n, [&](int64_t i) { return q[i] * q[i]; }));
      Team{}.each(n, [&](int64_t i) { q[i] /= length; });
      for_each_row(Device::cpu, m - k - 1, n, ProjectRow{rows, k, n});
    }
}

void fill_orthogonal(Tensor& value, double gain, const RandomKey& key) {
  const bool tall = value.size(-2) > value.size(-1);
  const int64_t n = std::max(value.size(-2), value.size(-1)), m = std::min(value.size(-2), value.size(-1));
  Tensor rows = Tensor::empty({m > 0 ? value.elements() / (m * n) : 0, m, n}, DType::f64, Device::cpu);
  normal_(rows, 0, 1, key);
  for (int64_t i = 0; i < rows.size(0); ++i) orthonormalise(rows.data<double>() + i * m * n, m, n);
  scale_(rows, gain);
  copy_(value, view::reshape(tall ? view::transpose(rows, 1, 2) : rows, value.shape()));
}

void fill_with(Tensor& value, const std::vector<double>& numbers) {
  require(static_cast<int64_t>(numbers.size()) == value.elements(), "init",
          [&] { return text("there are ", numbers.size(), " numbers for shape ", value.shape()); });
  copy_(value, Tensor::from(numbers, value.shape(), Device::cpu));
}

}  // namespace

Init::Init(Rule rule, double parameter, std::vector<double> numbers)
    : rule_(rule), parameter_(parameter), numbers_(std::move(numbers)) {
  const bool sign_counts = rule == Rule::normal || rule == Rule::uniform || rule == Rule::xavier_uniform ||
                           rule == Rule::truncated_normal;
  require_in(sign_counts ? interval::not_negative : interval::finite, "init", "its number", parameter);
  for (const double number : numbers_) require_in(interval::finite, "init", "each number", number);
}

Init Init::fan_in(int64_t inputs) { return uniform(1 / std::sqrt(static_cast<double>(inputs))); }

Init Init::values(std::vector<double> numbers) { return {Rule::values, 0, std::move(numbers)}; }

Init Init::plus_identity(double factor) const {
  require_in(interval::finite, "init", "the factor of the identity", factor);
  Init init = *this;
  init.diagonal_ = factor;
  return init;
}

void Init::fill(Tensor& value, const RandomKey& key) const {
  require_defined("init", "the value", value);
  require(diagonal_ == 0 || value.rank() >= 2, "init",
          [&] { return text("an identity needs a matrix (…,O,I), got shape ", value.shape()); });
  fill_by_rule(value, key);
  if (diagonal_ == 0) return;
  const int64_t O = value.size(-2), I = value.size(-1);
  std::vector<double> identity(O * I, 0.0);
  for (int64_t i = 0; i < std::min(O, I); ++i) identity[i * I + i] = diagonal_;
  add_(value, Tensor::from(identity, {O, I}, Device::cpu).to(value.dtype()).to(value.device()));
}

void Init::fill_by_rule(Tensor& value, const RandomKey& key) const {
  const bool of_matrices = rule_ >= Rule::xavier_uniform && rule_ <= Rule::orthogonal;
  require(!of_matrices || value.rank() >= 2, "init",
          [&] { return text("this rule needs a matrix (…,O,I), got shape ", value.shape()); });
  const double I = of_matrices ? static_cast<double>(value.size(-1)) : 1;
  const double O = of_matrices ? static_cast<double>(value.size(-2)) : 1;
  switch (rule_) {
    case Rule::constant: return fill_(value, parameter_);
    case Rule::normal: return normal_(value, 0, parameter_, key);
    case Rule::uniform: return uniform_(value, -parameter_, parameter_, key);
    case Rule::xavier_uniform: {
      const double bound = parameter_ * std::sqrt(6 / (I + O));
      return uniform_(value, -bound, bound, key);
    }
    case Rule::xavier_normal: return normal_(value, 0, std::sqrt(2 / (I + O)), key);
    case Rule::he: return normal_(value, 0, std::sqrt(2 / I), key);
    case Rule::orthogonal: return fill_orthogonal(value, parameter_, key);
    case Rule::truncated_normal: return truncated_normal_(value, 0, parameter_, key);
    case Rule::values: return fill_with(value, numbers_);
  }
}

}  // namespace tapir::nn
