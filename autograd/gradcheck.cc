#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "autograd/backward.h"
#include "autograd/diagnosis.h"
#include "autograd/differences.h"
#include "autograd/ops/shape.h"
#include "autograd/tolerance.h"
#include "tensor/random.h"

namespace tapir {
namespace {

Tensor random_like(const Tensor& x, uint64_t seed, uint32_t number) {
  Tensor v = Tensor::empty(x.shape(), x.dtype(), x.device());
  normal_(v, 0, 1, {.seed = seed, .step = number, .site = site_of("gradcheck")});
  return v;
}

// In long double: rounding of this sum, divided by a step, would pass for an error of the function's.
double dot(const std::vector<double>& a, const std::vector<double>& b) {
  long double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += static_cast<long double>(a[i]) * b[i];
  return static_cast<double>(total);
}

Tensor moved(const Tensor& x, double t, const std::vector<double>& v) {
  std::vector<double> values = x.values<double>();
  for (size_t i = 0; i < values.size(); ++i) values[i] += t * v[i];
  return Tensor::from(values, x.shape(), x.device());
}

std::vector<double> unit_vector(int64_t elements, int64_t i) {
  std::vector<double> v(elements, 0.0);
  v[i] = 1;
  return v;
}

void require_values(const std::string& name, const std::vector<Tensor>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    require(inputs[i].defined(), "gradcheck", [&] { return text("input ", i, " of '", name, "' has no value"); });
}

class Check {
 public:
  Check(const std::string& name, const Function& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options)
      : name_(name), f_(f), options_(options), tolerance_{options.absolute, options.relative} {
    require_values(name, inputs);
    for (const Tensor& input : inputs) {
      require(
          input.dtype() == DType::f64, "gradcheck",
          [&] { return text("the inputs of '", name, "' must be f64"); }, "let the function keep other inputs to itself");
      inputs_.push_back(input.detach().copy());
    }
  }

  GradcheckResult run() {
    const Tensor y = f_(inputs_);
    require(y.defined(), "gradcheck", [&] { return text('\'', name_, "' returned a tensor without a value"); });
    const Tensor u = random_like(y, options_.seed, 0);
    cotangent_ = u.values<double>();
    for (const Tensor& g : gradients_for(u)) gradients_.push_back(g.values<double>());
    const std::vector<std::string> directions = faults_of_directions();
    if (options_.full_jacobian) check_jacobian(y);
    if (!directions.empty() || !faults_.empty()) {
      const size_t before = faults_.size();
      for (size_t a = 0; a < inputs_.size(); ++a) locate(a, y, u);
      guess();
      // Across kinks a direction is no judge: elements are.
      if (faults_.size() > before || (kinks_.empty() && !across_kinks_))
        faults_.insert(faults_.begin(), directions.begin(), directions.end());
    }
    if (y.elements() > 0 && !options_.may_vanish) require_signal();
    return result();
  }

  void fail(const std::string& what) { faults_.push_back(what); }

 private:
  static constexpr size_t shown = 10;                     // faults in the report
  static constexpr int64_t largest_diagnosis = 1 << 18;   // elements of a Jacobian
  static constexpr int64_t longest_search = 4000;         // evaluations of f

  GradcheckResult result() const {
    GradcheckResult all;
    all.passed = faults_.empty();
    all.vanished = vanished_ > 0 && vanished_ == faults_.size();
    all.worst = worst_;
    for (size_t i = 0; i < std::min(faults_.size(), shown); ++i)
      all.report += text(name_, ": ", faults_[i], "; inputs ", shapes(), ", seed ", options_.seed, '\n');
    for (const std::string& guess : guesses_) all.report += text(name_, ": ", guess, '\n');
    for (size_t i = 0; i < std::min(kinks_.size(), shown); ++i) all.notes += text(name_, ": kink near ", kinks_[i], '\n');
    if (kinks_.size() > shown) all.notes += text(name_, ": and ", kinks_.size() - shown, " more\n");
    (all.passed ? all.notes : all.report) += unfinished_;
    return all;
  }

  std::vector<Tensor> gradients_for(const Tensor& u) const {
    const std::vector<Tensor> leaves = requires_grad(inputs_);
    return grad({f_(leaves)}, leaves, {u}, {.allow_constants = true});
  }

  // y at x + t v; v[a] empty: argument a stays.
  Line along(std::vector<std::vector<double>> v) {
    return Line([this, v = std::move(v)](double t) {
      ++evaluations_;
      std::vector<Tensor> x = inputs_;
      for (size_t a = 0; a < v.size(); ++a)
        if (!v[a].empty()) x[a] = moved(inputs_[a], t, v[a]);
      return f_(x).values<double>();
    });
  }
  Line along(size_t argument, std::vector<double> v) {
    std::vector<std::vector<double>> all(inputs_.size());
    all[argument] = std::move(v);
    return along(std::move(all));
  }

  Verdict judged(double analytic, const std::function<double(double)>& phi) {
    const Verdict verdict = judge(phi, analytic, options_.step, tolerance_);
    if (verdict.kind != Verdict::kink) {
      const double size = std::max({std::fabs(analytic), std::fabs(verdict.value), options_.absolute / options_.relative});
      worst_ = std::max(worst_, error_of(analytic, verdict.value, size));
    }
    return verdict;
  }
  Verdict judged_with_cotangent(double analytic, Line& line) {
    return judged(analytic, [&](double t) { return dot(cotangent_, line(t)); });
  }

  void require_signal() {
    for (size_t a = 0; a < gradients_.size(); ++a) {
      const std::vector<double>& g = gradients_[a];
      if (g.empty() || std::any_of(g.begin(), g.end(), [](double value) { return value != 0; })) continue;
      Line line = along(a, random_like(inputs_[a], options_.seed, 1).values<double>());
      if (judged_with_cotangent(0, line).kind != Verdict::right)
        continue;   // a kink; if it were wrong, a direction would say so
      fail(text("the gradient of argument ", a, " is zero everywhere"));
      ++vanished_;
    }
  }

  std::vector<std::string> faults_of_directions() {
    std::vector<std::string> faults;
    for (int direction = 0; direction < options_.directions; ++direction) {
      std::vector<std::vector<double>> v;
      double analytic = 0;
      for (size_t a = 0; a < inputs_.size(); ++a) {
        const auto number = static_cast<uint32_t>(1 + direction * inputs_.size() + a);
        v.push_back(random_like(inputs_[a], options_.seed, number).values<double>());
        analytic += dot(gradients_[a], v.back());
      }
      Line line = along(std::move(v));
      const Verdict verdict = judged_with_cotangent(analytic, line);
      across_kinks_ = across_kinks_ || verdict.kind == Verdict::kink;
      if (verdict.kind != Verdict::right)
        faults.push_back(text("direction ", direction, ": analytic ", analytic, ", numeric ", verdict.value));
    }
    return faults;
  }

  // Whether the number is one that the kink allows: between the slopes from either side.
  bool between(double analytic, double left, double right, double doubt) const {
    const double slack = tolerance_.at(std::max(std::fabs(left), std::fabs(right))) + doubt;
    return analytic >= std::min(left, right) - slack && analytic <= std::max(left, right) + slack;
  }

  void check_jacobian(const Tensor& y) {
    std::vector<std::vector<Tensor>> rows;   // [k]: ∂y_k/∂x of every argument
    for (int64_t k = 0; k < y.elements(); ++k)
      rows.push_back(gradients_for(Tensor::from(unit_vector(y.elements(), k), y.shape(), y.device())));
    for (size_t a = 0; a < inputs_.size(); ++a) {
      std::vector<std::vector<double>> analytic;
      for (const std::vector<Tensor>& row : rows) analytic.push_back(row[a].values<double>());
      for (int64_t i = 0; i < inputs_[a].elements(); ++i) {
        Line line = along(a, unit_vector(inputs_[a].elements(), i));
        for (size_t k = 0; k < analytic.size(); ++k) {
          const Verdict verdict = judged(analytic[k][i], [&](double t) { return line(t)[k]; });
          if (verdict.kind == Verdict::kink && between(analytic[k][i], verdict.before, verdict.after, verdict.doubt)) {
            add_kink(a, i);
          } else if (verdict.kind != Verdict::right) {
            fail(text("output index ", k, ", argument ", a, ", index ", i, ": analytic ", analytic[k][i], ", numeric ",
                      verdict.value));
          }
        }
      }
    }
  }

  void add_kink(size_t argument, int64_t i) {
    const std::string place = text("argument ", argument, ", index ", i);
    if (kinks_.empty() || kinks_.back() != place) kinks_.push_back(place);
  }

  // Element i against ⟨u, ∂f/∂x_i⟩. At a kink each output has its own choice between its two slopes.
  bool element_holds(size_t argument, int64_t i, Line& line, double* numeric = nullptr) {
    const double analytic = gradients_[argument][i];
    const Verdict verdict = judged_with_cotangent(analytic, line);
    if (numeric) *numeric = verdict.value;
    if (verdict.kind == Verdict::right) return true;
    double low = 0, high = 0, doubt = 0;
    bool kinked = false;
    for (size_t k = 0; k < cotangent_.size() && std::isfinite(verdict.value); ++k) {
      const auto component = [&](double t) { return line(t)[k]; };
      const Slope slope = slope_of(component, options_.step, tolerance_);
      kinked = kinked || slope.kinked;
      low += std::min(cotangent_[k] * slope.before, cotangent_[k] * slope.after);
      high += std::max(cotangent_[k] * slope.before, cotangent_[k] * slope.after);
      doubt += std::fabs(cotangent_[k]) * slope.doubt;
    }
    if (between(analytic, low, high, doubt)) {
      if (kinked) add_kink(argument, i);
      return true;
    }
    fail(text("random cotangent, argument ", argument, ", index ", i, ": analytic ", analytic, ", numeric ", verdict.value));
    return false;
  }

  // Element by element where that is little work, then what the gradient looks like; else by halves.
  void locate(size_t argument, const Tensor& y, const Tensor& u) {
    const std::vector<double>& analytic = gradients_[argument];
    const auto elements = static_cast<int64_t>(analytic.size());
    if (elements * std::max<int64_t>(y.elements(), 64) > largest_diagnosis) {
      search(argument, 0, elements);
      return;
    }
    WrongGradient wrong{inputs_, argument, y, u, analytic, {}, {}};
    bool differs = false;
    for (int64_t i = 0; i < elements; ++i) {
      Line line = along(argument, unit_vector(elements, i));
      double numeric = 0;
      differs |= !element_holds(argument, i, line, &numeric);
      wrong.numeric.push_back(numeric);
      const double h = options_.step;
      for (int64_t k = 0; k < y.elements(); ++k)
        wrong.jacobian.push_back((8 * (line(h)[k] - line(-h)[k]) - (line(2 * h)[k] - line(-2 * h)[k])) / (12 * h));
    }
    if (differs) wrong_.push_back(std::move(wrong));
  }

  void guess() {
    for (size_t i = 0; i < wrong_.size(); ++i)
      for (size_t j = i + 1; j < wrong_.size(); ++j)
        if (exchanged(wrong_[i], wrong_[j])) {
          guesses_.push_back(text("arguments ", wrong_[i].argument, " and ", wrong_[j].argument,
                                  " look like: each has the gradient of the other"));
          return;
        }
    for (const WrongGradient& wrong : wrong_)
      if (const std::string found = diagnose(wrong); !found.empty())
        guesses_.push_back(text("argument ", wrong.argument, " looks like: ", found));
  }

  // Of the elements begin … end − 1: a block whose gradient agrees along a random direction is not looked into.
  void search(size_t argument, int64_t begin, int64_t end) {
    if (begin == end || faults_.size() >= shown) return;
    if (evaluations_ > longest_search) {
      if (unfinished_.empty())
        unfinished_ =
            text(name_, ": too large to locate everything: not looked at behind argument ", argument, ", index ", begin, '\n');
      return;
    }
    const auto elements = static_cast<int64_t>(gradients_[argument].size());
    if (end - begin == 1) {
      Line line = along(argument, unit_vector(elements, begin));
      element_holds(argument, begin, line);
      return;
    }
    std::vector<double> v = random_like(inputs_[argument], options_.seed, 0).values<double>();
    std::fill(v.begin(), v.begin() + begin, 0);
    std::fill(v.begin() + end, v.end(), 0);
    const double analytic = dot(gradients_[argument], v);
    Line line = along(argument, std::move(v));
    if (judged_with_cotangent(analytic, line).kind == Verdict::right) return;
    search(argument, begin, begin + (end - begin) / 2);
    search(argument, begin + (end - begin) / 2, end);
  }

  std::string shapes() const {
    std::string all;
    for (const Tensor& input : inputs_) all += text(all.empty() ? "" : " ", input.shape());
    return all;
  }

  const std::string name_;
  const Function f_;
  const GradcheckOptions options_;
  const Tolerance tolerance_;
  std::vector<Tensor> inputs_;
  std::vector<double> cotangent_;                 // u
  std::vector<std::vector<double>> gradients_;    // of ⟨u, f⟩, for each argument
  std::vector<std::string> faults_, guesses_, kinks_;
  std::vector<WrongGradient> wrong_;
  std::string unfinished_;
  double worst_ = 0;
  size_t vanished_ = 0;   // faults that are whole gradients of 0
  bool across_kinks_ = false;
  int64_t evaluations_ = 0;
};

}  // namespace

GradcheckResult gradcheck(const std::string& name, const Function& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options) {
  return Check(name, f, inputs, options).run();
}

GradcheckResult gradgradcheck(const std::string& name, const Function& f, const std::vector<Tensor>& inputs,
                              GradcheckOptions options) {
  require_values(name, inputs);
  options.may_vanish = true;   // the gradient of a linear function does not depend on x
  const std::string second = text("gradient of ", name);
  std::vector<Tensor> all = inputs;
  all.push_back(random_like(f(inputs), options.seed + 1, 0));

  // Jᵀu for all inputs, one after the other in one vector.
  const auto gradient_of = [&](const std::vector<Tensor>& x_and_u, bool create_graph) {
    std::vector<Tensor> x = x_and_u, flat;
    const Tensor u = x.back();
    x.pop_back();
    for (Tensor& input : x)
      if (!input.node) input = requires_grad(input);
    for (const Tensor& g : grad({f(x)}, x, {u}, {.create_graph = create_graph, .allow_constants = true}))
      flat.push_back(reshape(g, {g.elements()}));
    return concat(flat, 0);
  };
  Check check(second, [&](const std::vector<Tensor>& x) { return gradient_of(x, true); }, all, options);
  const std::vector<double> with = gradient_of(all, true).values<double>(),
                            without = gradient_of(all, false).values<double>();
  for (size_t i = 0; i < with.size(); ++i)
    if (!within(with[i], without[i], options.absolute, options.absolute)) {
      check.fail(text("element ", i, " is ", with[i], " when made with create_graph, ", without[i], " without"));
      break;
    }
  return check.run();
}

}  // namespace tapir
