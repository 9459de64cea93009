// Operator learning: from a function to another one that a differential equation makes of it. Burgers' equation on a
// circle, from the function at time 0 to the one at time 1 (Li et al. 2021; Cao 2021).
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attention/reproduce/tasks/task.h"
#include "attention/reproduce/tasks/task_row.h"

namespace tapir {

struct OperatorOptions : nn::Options {   // [task]
  int64_t points = 256;
  int64_t functions = 1024;
  int64_t evaluated = 100;
  double slope = 0.1;

  void fields(nn::FieldVisitor& visit) override {
    visit("points", points, "of the circle, at which functions are known", nn::between(4, 1 << 16));
    visit("functions", functions, "that are learned from", nn::between(1, 1 << 20));
    visit("evaluated", evaluated, "functions of an evaluation", nn::between(1, 1 << 20));
    visit("slope", slope, "γ: the loss has √(γ/points) times the relative error of the slope", nn::between(0, 1e6));
  }
};

// Functions are solved from datasets/synthetic/burgers.h, the same for every seed; the seed decides their order. With h =
// 1/points and D the central difference on all points but the first and the last:
//   loss = mean over functions of ‖û − u‖/‖u‖ + √(γ h) ‖D û − u′‖/‖u′‖                                (Cao 2021, §4)
// Judged by the mean relative error ‖û − u‖/‖u‖.
class OperatorTask final : public Task {
 public:
  explicit OperatorTask(Experiment& experiment);   // without weights. Throws Error for fewer functions than a batch has

  TrainTask train_task() override;
  Evaluation evaluate_part(const std::string& part) override;
  Results comparable(const std::string& part) const override;
  std::string drawn() const override { return "order of functions"; }
  std::pair<Batch, int64_t> sample() const override;
  std::string unit() const override { return "function"; }
  std::string summary() const override;

 private:
  struct Functions {
    std::vector<double> before, after, slope;   // (rows,n): u at 0 and at 1, and ∂u/∂x at 1, x the circle's share
  };
  const Functions& part(const std::string& name) const;   // solved when it is first asked for
  std::vector<int64_t> rows_of(int64_t step, int64_t part, int64_t parts) const;
  Tensor chosen(const std::vector<double>& all, const std::vector<int64_t>& rows) const;   // (rows,n,1)
  Batch batch(const Functions& from, const std::vector<int64_t>& rows) const;
  double relative_error(const std::string& name);

  const OperatorOptions& options_;
  mutable std::map<std::string, Functions> parts_;
  mutable Functions unsolved_;   // zeros, of a dry run
  struct Order {
    int64_t epoch;
    std::vector<int64_t> functions;
  };
  mutable std::optional<Order> order_;   // of the last epoch that was asked for
};

TaskRow operator_row();

}  // namespace tapir
