#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "autograd/backward.h"
#include "autograd/diagnosis.h"
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

Tensor unit_vector(const Tensor& x, int64_t i) {
  std::vector<double> v(x.elements(), 0.0);
  v[i] = 1;
  return Tensor::from(v, x.shape(), x.device());
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

Tensor moved(const Tensor& x, double t, const Tensor& v) {
  std::vector<double> values = x.values<double>();
  const std::vector<double> step = v.values<double>();
  for (size_t i = 0; i < values.size(); ++i) values[i] += t * step[i];
  return Tensor::from(values, x.shape(), x.device());
}

void require_values(const std::string& name, const std::vector<Tensor>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    require(inputs[i].defined(), "gradcheck", [&] { return text("input ", i, " of '", name, "' has no value"); });
}

class Check {
 public:
  Check(const std::string& name, const Function& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options)
      : name_(name), f_(f), options_(options) {
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
    const std::vector<Tensor> gradients = gradients_for(u);
    if (y.elements() > 0 && !options_.may_vanish) require_signal(gradients);
    for (int direction = 0; direction < options_.directions; ++direction) check_direction(u, gradients, direction);
    if (options_.full_jacobian) check_jacobian(y);
    if (!result_.passed)
      for (size_t a = 0; a < inputs_.size(); ++a) locate(a, y, u, gradients[a].values<double>());
    return result_;
  }

  void fail(const std::string& what) {
    result_.passed = false;
    if (++faults_ <= shown)
      result_.report += text(name_, ": ", what, "; inputs ", shapes(), ", seed ", options_.seed, '\n');
  }

 private:
  static constexpr int shown = 10;                      // faults in the report
  static constexpr int64_t largest_diagnosis = 1 << 18;   // elements of a Jacobian

  std::vector<Tensor> gradients_for(const Tensor& u) const {
    const std::vector<Tensor> leaves = requires_grad(inputs_);
    return grad({f_(leaves)}, leaves, {u}, {.allow_constants = true});
  }

  // J v ≈ (8 (y₁ − y₋₁) − (y₂ − y₋₂)) / 12h,  y_k = f(x + k h v)
  std::vector<double> derivative(const std::vector<Tensor>& v) const {
    const auto at = [&](double k) {
      std::vector<Tensor> x;
      for (size_t a = 0; a < v.size(); ++a)
        x.push_back(v[a].defined() ? moved(inputs_[a], k * options_.step, v[a]) : inputs_[a]);
      return f_(x).values<double>();
    };
    std::vector<double> result = at(1);
    const std::vector<double> back = at(-1), far = at(2), far_back = at(-2);
    for (size_t k = 0; k < result.size(); ++k)
      result[k] = (8 * (result[k] - back[k]) - (far[k] - far_back[k])) / (12 * options_.step);
    return result;
  }

  std::vector<double> column(size_t argument, int64_t i) const {   // ∂y_k/∂x_i for every k
    std::vector<Tensor> v(inputs_.size());
    v[argument] = unit_vector(inputs_[argument], i);
    return derivative(v);
  }

  bool agree(double analytic, double numeric) {
    const double size = std::max({std::fabs(analytic), std::fabs(numeric), options_.absolute / options_.relative});
    result_.worst = std::max(result_.worst, error_of(analytic, numeric, size));
    return within(analytic, numeric, options_.absolute, options_.relative);
  }

  void require_signal(const std::vector<Tensor>& gradients) {
    for (size_t a = 0; a < gradients.size(); ++a) {
      const std::vector<double> g = gradients[a].values<double>();
      if (!g.empty() && std::all_of(g.begin(), g.end(), [](double value) { return value == 0; }))
        fail(text("the gradient of argument ", a, " is zero everywhere"));
    }
  }

  void check_direction(const Tensor& u, const std::vector<Tensor>& gradients, int direction) {
    std::vector<Tensor> v;
    double analytic = 0;
    for (size_t a = 0; a < inputs_.size(); ++a) {
      v.push_back(random_like(inputs_[a], options_.seed, static_cast<uint32_t>(1 + direction * inputs_.size() + a)));
      analytic += dot(gradients[a].values<double>(), v.back().values<double>());
    }
    const double difference = dot(u.values<double>(), derivative(v));
    if (!agree(analytic, difference))
      fail(text("direction ", direction, ": analytic ", analytic, ", numeric ", difference));
  }

  void check_jacobian(const Tensor& y) {
    std::vector<std::vector<Tensor>> rows;   // [k]: ∂y_k/∂x of every argument
    for (int64_t k = 0; k < y.elements(); ++k) rows.push_back(gradients_for(unit_vector(y, k)));
    for (size_t a = 0; a < inputs_.size(); ++a) {
      std::vector<std::vector<double>> analytic;
      for (const std::vector<Tensor>& row : rows) analytic.push_back(row[a].values<double>());
      for (int64_t i = 0; i < inputs_[a].elements(); ++i) {
        const std::vector<double> numeric = column(a, i);
        for (size_t k = 0; k < numeric.size(); ++k)
          if (!agree(analytic[k][i], numeric[k]))
            fail(text("output index ", k, ", argument ", a, ", index ", i, ": analytic ", analytic[k][i], ", numeric ",
                      numeric[k]));
      }
    }
  }

  // Element by element, against ⟨u, ∂f/∂x_i⟩; then what the gradient looks like.
  void locate(size_t argument, const Tensor& y, const Tensor& u, const std::vector<double>& analytic) {
    const std::vector<double> cotangent = u.values<double>();
    const bool small = static_cast<int64_t>(analytic.size()) * std::max<int64_t>(y.elements(), 64) <= largest_diagnosis;
    WrongGradient wrong{inputs_, argument, y, u, analytic, {}, {}};
    bool differs = false;
    for (int64_t i = 0; i < inputs_[argument].elements() && (small || faults_ < shown); ++i) {
      const std::vector<double> differences = column(argument, i);
      const double numeric = dot(cotangent, differences);
      if (!agree(analytic[i], numeric)) {
        differs = true;
        fail(text("random cotangent, argument ", argument, ", index ", i, ": analytic ", analytic[i], ", numeric ",
                  numeric));
      }
      wrong.numeric.push_back(numeric);
      if (small) wrong.jacobian.insert(wrong.jacobian.end(), differences.begin(), differences.end());
    }
    if (!differs || !small) return;
    const std::string guess = diagnose(wrong);
    if (!guess.empty()) result_.report += text(name_, ": argument ", argument, " looks like: ", guess, '\n');
  }

  std::string shapes() const {
    std::string all;
    for (const Tensor& input : inputs_) all += text(all.empty() ? "" : " ", input.shape());
    return all;
  }

  const std::string name_;
  const Function f_;
  const GradcheckOptions options_;
  std::vector<Tensor> inputs_;
  GradcheckResult result_;
  int faults_ = 0;
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
