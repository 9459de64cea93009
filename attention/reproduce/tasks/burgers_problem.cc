#include <fmt/core.h>

#include "attention/reproduce/tasks/operator_problem.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "datasets/synthetic/burgers.h"

namespace tapir {
namespace {

class BurgersProblem final : public OperatorProblem {
 public:
  explicit BurgersProblem(const OperatorOptions& options) : n_(options.points) {}

  int64_t dimensions() const override { return 1; }
  std::vector<double> places() const override {
    std::vector<double> all(n_);
    for (int64_t j = 0; j < n_; ++j) all[j] = static_cast<double>(j) * spacing();
    return all;
  }
  double spacing() const override { return 1 / static_cast<double>(n_); }
  std::string description() const override { return fmt::format("Burgers' equation at {} points of a circle", n_); }
  bool standardised() const override { return false; }

  Functions functions(const std::string& part, int64_t rows) const override {
    Functions all{burgers_initial(part, rows, n_), {}, {}};
    all.wanted = BurgersEquation().solve(all.given, n_);
    all.of_slope = circle_derivative(all.wanted, n_, 1);
    return all;
  }

  // The central difference at all points but the first and the last, against ∂u/∂x, which is exact.
  Tensor slope_error(const Tensor& found, const Batch& batch) const override {
    const int64_t inner = n_ - 2;
    const Tensor slope = affine(sub(slice(found, 1, 2, inner), slice(found, 1, 0, inner)), static_cast<double>(n_) / 2, 0);
    return relative_error(slope, slice(batch.at("of_slope"), 1, 1, inner));
  }

 private:
  const int64_t n_;
};

}  // namespace

std::unique_ptr<OperatorProblem> burgers_problem(const OperatorOptions& options) {
  return std::make_unique<BurgersProblem>(options);
}

}  // namespace tapir
