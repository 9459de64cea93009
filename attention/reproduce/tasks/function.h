// Regression of a function of two variables from points: the shortest task, and the net that people meet first.
#pragma once
#include "attention/reproduce/tasks/task.h"
#include "attention/reproduce/tasks/task_row.h"

namespace tapir {

// On the square [−1, 1]²:   ripple  sin(6 r), r = √(x² + y²)     saddle  x y     peaks  sin(4 x) cos(4 y)
double value_of(const std::string& function, double x, double y);

struct FunctionOptions : nn::Options {   // [task]
  std::string function = "peaks";
  double noise = 0;
  int64_t grid = 32;

  void fields(nn::FieldVisitor& visit) override {
    visit("function", function, "what is learned", nn::Choices{"ripple", "saddle", "peaks"});
    visit("noise", noise, "deviation of a normal error that is added to training values", nn::between(0, 1e6));
    visit("grid", grid, "points of an evaluation along each side of the square", nn::between(2, 4096));
  }
};

// Training points are drawn anew at each step, evenly over the square. Loss: mean squared error. The part "valid" is a grid,
// the part "test" the midpoints between its points.
class FunctionTask final : public Task {
 public:
  explicit FunctionTask(Experiment& experiment);   // without weights

  TrainTask train_task() override;
  Evaluation evaluate_part(const std::string& part) override;
  Results comparable(const std::string& part) const override;
  std::string drawn() const override { return "points"; }
  std::pair<Batch, int64_t> sample() const override;
  std::string unit() const override { return "point"; }
  std::string summary() const override;

 private:
  struct Points {
    Tensor coordinates, values;   // (n,2), (n,1), of the experiment's type, on its device
  };
  Points points(const std::vector<double>& x, const std::vector<double>& y, const Tensor& errors) const;   // undefined: none
  Points of_step(int64_t step, int64_t part, int64_t parts) const;
  Points of_part(const std::string& part) const;
  double mean_squared_error(const std::string& part) const;

  const FunctionOptions& options_;
};

TaskRow function_row();

}  // namespace tapir
