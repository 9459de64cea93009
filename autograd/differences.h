// Derivatives by differences that know their own error.
//
//   D(h) = (φ(h) − φ(−h)) / 2h = φ′(0) + c₂ h² + c₄ h⁴ + …
//
// at h, h/2, h/4, …: each number of Richardson's table takes out one more power of h, and its error is its distance to those
// that it was made of (Ridders 1982, Adv. Eng. Softw. 4, 75). D₊(h) = (φ(h) − φ(0)) / h and D₋(h) come from one side; where
// they stay apart φ has a kink.
#pragma once
#include <functional>
#include <limits>
#include <map>
#include <vector>

namespace tapir {

// Values of a function along a line, remembered.
class Line {
 public:
  explicit Line(std::function<std::vector<double>(double t)> at) : at_(std::move(at)) {}

  const std::vector<double>& operator()(double t);

 private:
  const std::function<std::vector<double>(double)> at_;
  std::map<double, std::vector<double>> known_;
};

// The limit at h → 0 of what is added for h, h/2, h/4, …, when its error has the powers p, 2p, … of h.
class Extrapolation {
 public:
  explicit Extrapolation(int power) : power_(power) {}

  // d, which rounding may have moved by `noise`. ∞ and NaN: what was added before is forgotten, since the step was too long.
  void add(double d, double noise);

  double value() const { return value_; }   // of the least error; NaN before there are two
  double error() const { return error_; }   // ∞ before

 private:
  const int power_;
  std::vector<double> row_;
  double value_ = std::numeric_limits<double>::quiet_NaN(), error_ = std::numeric_limits<double>::infinity();
};

// |x − y| ≤ absolute + relative max(|x|, |y|)
struct Tolerance {
  double absolute, relative;

  bool holds(double x, double y) const;
  double at(double x) const;   // what y may be off
};

// φ′(0) by differences.
struct Slope {
  double value, error;    // of central ones
  double before, after;   // from the left and from the right; `value` where they agree
  double doubt;           // of each of them
  bool kinked;            // they do not agree, at any step
};
Slope slope_of(const std::function<double(double t)>& phi, double step, const Tolerance& tolerance);

struct Verdict : Slope {
  enum Kind {
    right,   // they agree, or are too uncertain to say otherwise
    wrong,   // beyond their error, or something is not finite
    kink     // there is no derivative
  };
  Kind kind;
};

// Judges φ′(0) = `analytic`. Steps begin at 2 `step` and are halved until the two agree or differences are sure, at most to
// step 2⁻²⁵. A right one of a smooth function takes four values: the five-point formula.
Verdict judge(const std::function<double(double t)>& phi, double analytic, double step, const Tolerance& tolerance);

}  // namespace tapir
