// Derivatives of whole models: Jacobian–vector products, vector–Jacobian products and differences along random directions
// of all parameters at once, for the language model with every mechanism.
#include <doctest/doctest.h>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/products.h"
#include "tests/nn/tiny_model.h"

using namespace tapir;

namespace {

constexpr double step = 1e-5;   // along directions of length 1: small enough that no ReLU is crossed

double dot(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.values<double>(), y = b.values<double>();
  double total = 0;
  for (size_t i = 0; i < x.size(); ++i) total += x[i] * y[i];
  return total;
}

double dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += dot(a[i], b[i]);
  return total;
}

double length(const std::vector<Tensor>& a) { return std::sqrt(dot(a, a)); }

std::vector<Tensor> combined(const std::vector<Tensor>& a, double factor, const std::vector<Tensor>& b) {   // a + factor b
  const NoGrad guard;
  std::vector<Tensor> sums;
  for (size_t i = 0; i < a.size(); ++i) sums.push_back(add(a[i].detach(), affine(b[i], factor, 0)));
  return sums;
}

std::vector<Tensor> random_direction(const std::vector<Tensor>& like, uint64_t seed) {   // of length 1
  std::vector<Tensor> v, zero;
  for (size_t i = 0; i < like.size(); ++i) {
    v.push_back(random_normal(like[i].shape(), seed, text("direction ", i)));
    zero.push_back(Tensor::zeros(like[i].shape(), DType::f64));
  }
  return combined(zero, 1 / length(v), v);
}

// d f(x + t v)/dt at 0 by the five-point formula.
std::vector<Tensor> differences(const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& f,
                                const std::vector<Tensor>& x, const std::vector<Tensor>& v) {
  const auto at = [&](double k) { return f(combined(x, k * step, v)); };
  const std::vector<Tensor> near = combined(at(1), -1, at(-1)), far = combined(at(2), -1, at(-2));
  std::vector<Tensor> zero;
  for (const Tensor& y : near) zero.push_back(Tensor::zeros(y.shape(), DType::f64));
  return combined(combined(zero, 8 / (12 * step), near), -1 / (12 * step), far);
}

double relative_error(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return length(combined(a, -1, b)) / length(b);
}

}  // namespace

TEST_CASE("directions: J v, Jᵀ u and differences agree on the language model with every mechanism") {
  for (const std::string& name : causal_mechanisms()) {
    CAPTURE(name);
    const TinyModel tiny(name);
    const std::vector<Tensor> parameters = tiny.values();
    const Function logits = [&](const std::vector<Tensor>& in) {
      tiny.set_values(in);
      return tiny.model->forward(tiny.tokens(), {});
    };
    const auto values = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{logits(in)}; };
    for (uint64_t direction = 0; direction < 100; ++direction) {
      CAPTURE(direction);
      const std::vector<Tensor> v = random_direction(parameters, direction);
      const PushedForward pushed = jvp(logits, parameters, v);
      CHECK(relative_error({pushed.tangent}, differences(values, parameters, v)) <= 1e-6);
      const Tensor u = random_normal(pushed.value.shape(), direction, "cotangent");
      const PulledBack pulled = vjp(logits, parameters, u);
      const double error = std::fabs(dot(pulled.gradients, v) - dot(u, pushed.tangent));
      CHECK(error <= 1e-12 * length({u}) * length({pushed.tangent}) * std::sqrt(static_cast<double>(u.elements())));
    }
  }
}

TEST_CASE("directions: H v and differences of gradients agree on the loss with every mechanism, and H is symmetric") {
  for (const std::string& name : causal_mechanisms()) {
    CAPTURE(name);
    const TinyModel tiny(name);
    const std::vector<Tensor> parameters = tiny.values();
    const Function loss = [&](const std::vector<Tensor>& in) {
      tiny.set_values(in);
      return tiny.loss();
    };
    const auto gradient_at = [&](const std::vector<Tensor>& in) {
      return vjp(loss, in, Tensor::full({}, 1, DType::f64)).gradients;
    };
    for (uint64_t direction = 0; direction < 5; ++direction) {
      CAPTURE(direction);
      const std::vector<Tensor> v = random_direction(parameters, direction),
                                w = random_direction(parameters, 100 + direction), Hv = hvp(loss, parameters, v);
      CHECK(relative_error(Hv, differences(gradient_at, parameters, v)) <= 1e-6);
      CHECK(dot(w, Hv) == doctest::Approx(dot(v, hvp(loss, parameters, w))).epsilon(1e-9));
    }
  }
}
