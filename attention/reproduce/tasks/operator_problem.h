// What an operator is learned from: an equation, functions that are drawn, and what it makes of them. Letters: n points, d
// coordinates of a point.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "datasets/batch.h"
#include "nn/fields.h"

namespace tapir {

struct OperatorOptions : nn::Options {   // [task]
  std::string equation = "burgers";
  int64_t points = 256;
  int64_t functions = 1024;
  int64_t evaluated = 100;
  double slope = 0.1;
  int64_t refinement = 2;
  double smaller = 3;

  void fields(nn::FieldVisitor& visit) override {
    visit("equation", equation, "Burgers' on a circle, or Darcy's flow through a square", nn::Choices{"burgers", "darcy"});
    visit("points", points, "of the circle, or along each side of the square, at which functions are known",
          nn::between(4, 1 << 16));
    visit("functions", functions, "that are learned from", nn::between(1, 1 << 20));
    visit("evaluated", evaluated, "functions of an evaluation", nn::between(1, 1 << 20));
    visit("slope", slope,
          "γ: the loss has √(γh) times the relative error of the slope, h the distance of points, of a side of 1",
          nn::between(0, 1e6));
    visit("refinement", refinement, "of Darcy's: it is solved with so many times the intervals between points",
          nn::between(1, 1024));
    visit("smaller", smaller, "of Darcy's: the smaller of two coefficients, the larger one is 12", nn::between(1e-3, 12));
    visit.only(equation == "darcy", "equation = \"darcy\"", {"refinement", "smaller"});
  }
};

class OperatorProblem {
 public:
  virtual ~OperatorProblem() = default;

  virtual int64_t dimensions() const = 0;            // d
  virtual std::vector<double> places() const = 0;    // (n,d)
  virtual double spacing() const = 0;                // h
  virtual std::string description() const = 0;       // with all that functions depend on
  // Whether models give deviations from the mean of the training functions at each point, in units of their deviation there.
  virtual bool standardised() const = 0;

  struct Functions {
    std::vector<double> given, wanted, of_slope;   // (rows,n); the last for slope_error
  };
  virtual Functions functions(const std::string& part, int64_t rows) const = 0;

  // Of each function of a batch, the relative error of its slope: found (rows,n,1), and in the batch "function", "wanted" and
  // "of_slope" (rows,n,1) → (rows,1,1)
  virtual Tensor slope_error(const Tensor& found, const Batch& batch) const = 0;
};

// From the function at time 0 to the one at time 1 (Li et al. 2021), places are shares of the circle.
std::unique_ptr<OperatorProblem> burgers_problem(const OperatorOptions& options);
// From the coefficients, −1 for the smaller and 1 for the larger, to the pressure under a source of 1 (Li et al. 2021).
std::unique_ptr<OperatorProblem> darcy_problem(const OperatorOptions& options);

// ‖x − y‖/‖y‖ of each function: (rows,…) → (rows,1,1)
Tensor relative_error(const Tensor& x, const Tensor& y);

}  // namespace tapir
