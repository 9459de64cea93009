// Operator learning: from a function to another one that a differential equation makes of it (Li et al. 2021; Cao 2021).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "attention/reproduce/tasks/epoch_order.h"
#include "attention/reproduce/tasks/operator_problem.h"
#include "attention/reproduce/tasks/task.h"
#include "attention/reproduce/tasks/task_row.h"

namespace tapir {

// Functions are drawn and solved (operator_problem.h), the same for every seed; the seed decides their order. With h the
// distance of points and D what the problem takes for a slope:
//   loss = mean over functions of ‖û − u‖/‖u‖ + √(γ h) ‖D û − D u‖/‖D u‖                              (Cao 2021, §4)
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
  struct Part {
    OperatorProblem::Functions functions;
    std::vector<double> mean, deviation;   // (n) of those wanted
  };
  int64_t points() const { return static_cast<int64_t>(places_.size()) / problem_->dimensions(); }   // n
  const Part& part(const std::string& name) const;   // solved when it is first asked for
  Tensor chosen(const std::vector<double>& all, const std::vector<int64_t>& rows,
                int64_t channels = 1) const;         // (rows,n,channels)
  Batch batch(const OperatorProblem::Functions& from, const std::vector<int64_t>& rows) const;
  Tensor prediction(const Batch& batch, const nn::Call& call) const;
  double relative_error_of(const std::string& name);

  const OperatorOptions& options_;
  const std::unique_ptr<OperatorProblem> problem_;
  const std::vector<double> places_;
  mutable std::map<std::string, Part> parts_;
  mutable std::map<std::string, Part> unsolved_;   // zeros, of a dry run
  const EpochOrder order_;
};

TaskRow operator_row();

}  // namespace tapir
