#include <fmt/core.h>

#include "attention/reproduce/tasks/operator_problem.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "datasets/synthetic/darcy.h"

namespace tapir {
namespace {

constexpr double larger = 12;

class DarcyProblem final : public OperatorProblem {
 public:
  explicit DarcyProblem(const OperatorOptions& options)
      : s_(options.points), refinement_(options.refinement), smaller_(options.smaller) {
    constexpr int64_t most = 1025;
    require(fine() <= most, "operator",
            [&] { return text("Darcy's flow is solved at most at ", most, " points along a side, asked are ", fine()); },
            "set task.points or task.refinement");
  }

  int64_t dimensions() const override { return 2; }
  std::vector<double> places() const override {
    std::vector<double> all;
    for (int64_t i = 0; i < s_; ++i)
      for (int64_t j = 0; j < s_; ++j)
        all.insert(all.end(), {static_cast<double>(i) * spacing(), static_cast<double>(j) * spacing()});
    return all;
  }
  double spacing() const override { return 1 / static_cast<double>(s_ - 1); }
  std::string description() const override {
    return fmt::format("Darcy's flow through {} and {} at {} × {} points, solved at {} × {}", larger, smaller_, s_, s_, fine(),
                       fine());
  }
  bool standardised() const override { return true; }

  Functions functions(const std::string& part, int64_t rows) const override {
    const std::vector<double> a = darcy_coefficients(part, rows, fine(), larger, smaller_);
    const std::vector<double> ones(fine() * fine(), 1);
    Functions all{{}, of_points(darcy_solution(a, ones, fine())), of_points(a)};
    for (const double one : all.of_slope) all.given.push_back(one == larger ? 1 : -1);
    return all;
  }

  // ‖a D û − a D u‖/‖a D u‖, D the central differences along both sides at all inner points
  Tensor slope_error(const Tensor& found, const Batch& batch) const override {
    return relative_error(flux(batch, found), flux(batch, batch.at("wanted")));
  }

 private:
  int64_t fine() const { return refinement_ * (s_ - 1) + 1; }

  std::vector<double> of_points(const std::vector<double>& all) const {   // (rows,fine,fine) → (rows,s,s)
    std::vector<double> result;
    const auto rows = static_cast<int64_t>(all.size()) / (fine() * fine());
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t i = 0; i < s_; ++i)
        for (int64_t j = 0; j < s_; ++j) result.push_back(all[(row * fine() + i * refinement_) * fine() + j * refinement_]);
    return result;
  }

  // a D u of inner points, both directions: (rows,n,1) → (rows,2(s − 2),s − 2)
  Tensor flux(const Batch& batch, const Tensor& u) const {
    const int64_t inner = s_ - 2;
    const auto at = [&](const Tensor& x, int64_t row, int64_t column) {
      return slice(slice(reshape(x, {x.size(0), s_, s_}), 1, row, inner), 2, column, inner);
    };
    const Tensor a = at(batch.at("of_slope"), 1, 1);
    return affine(concat({mul(a, sub(at(u, 2, 1), at(u, 0, 1))), mul(a, sub(at(u, 1, 2), at(u, 1, 0)))}, 1),
                  static_cast<double>(s_ - 1) / 2, 0);
  }

  const int64_t s_, refinement_;
  const double smaller_;
};

}  // namespace

std::unique_ptr<OperatorProblem> darcy_problem(const OperatorOptions& options) {
  return std::make_unique<DarcyProblem>(options);
}

}  // namespace tapir
