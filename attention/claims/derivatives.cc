// Proofs of first and second derivatives, against differences.
#include <algorithm>

#include "attention/claims/subject.h"
#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"

namespace tapir::evidence {
namespace {

// A step across a kink of ReLU would be seen as a wrong derivative.
constexpr double small_step = 2e-6;

// A way of calling a mixer.
struct Situation {
  std::string label;
  int64_t queries, keys;   // keys 0: self-attention
  Mask mask;
  bool other = false;      // the keys are those of another sequence
};

std::vector<Situation> situations(const nn::Needs& needs) {
  std::vector<Situation> all{{"self-attention", 4, 0, {}},
                             {"causal", 4, 0, causal_mask()},
                             {"T < S", 3, 5, {}, true},
                             {"T < S, causal with offset", 2, 5, causal_mask(3)},
                             {"padded and empty rows", 3, 0, keys({1, 1, 0, 0, 0, 0}, 2)},
                             {"T = 1", 1, 0, {}},
                             {"T = 1, S = 4", 1, 4, {}, true}};
  std::erase_if(all, [&](const Situation& one) {
    return (needs.self && one.keys > 0) || (needs.all_tokens && one.mask.causal);
  });
  return all;
}

// The mixer in a situation as a function of x, context (left out where it is x) and every parameter.
struct Trial {
  Trial(const Subject& subject, const Situation& situation, const std::vector<Tensor>& parameters)
      : inputs{subject.tokens(2, situation.queries, "x")} {
    if (situation.keys) inputs.push_back(subject.tokens(2, situation.keys, "context"));
    first = inputs.size();
    inputs.insert(inputs.end(), parameters.begin(), parameters.end());
    f = [&subject, mask = situation.mask, begin = first, other = situation.other](const std::vector<Tensor>& in) {
      subject.set_parameters(in.data() + begin);
      return subject.run(in[0], in[begin - 1], mask, other);
    };
  }

  // Whether a parameter's gradient vanishes, but for rounding.
  std::vector<bool> vanishing(uint64_t seed) const {
    const std::vector<Tensor> leaves = requires_grad(inputs);
    const Tensor y = f(leaves);
    const Tensor u = normal(y.shape(), 1, {.seed = seed, .step = 0, .site = site_of("cotangent")});
    std::vector<double> sizes;
    for (const Tensor& g : grad({y}, leaves, {u})) sizes.push_back(largest(g.values<double>()));
    const double size = largest(sizes);
    std::vector<bool> result;
    for (size_t i = first; i < sizes.size(); ++i) result.push_back(sizes[i] <= 1e-12 * size);
    return result;
  }

  // Whether a large change of parameter i leaves the output as it is.
  bool without_effect(size_t i, uint64_t seed) const {
    const NoGrad guard;
    std::vector<Tensor> changed = inputs;
    Tensor& value = changed[first + i];
    value = add(value, normal(value.shape(), 1, {.seed = seed, .step = 0, .site = site_of("change")}));
    return distance(f(changed).values<double>(), f(inputs).values<double>()) <= 1e-12;
  }

  std::vector<Tensor> inputs;
  size_t first;   // parameter among the inputs
  Function f;
};

}  // namespace

std::string gradient(const Subject& subject) {
  const std::vector<Tensor> parameters = subject.parameters();
  std::vector<bool> vanishes(parameters.size(), true), matters(parameters.size(), false);
  double worst = 0;
  const std::vector<Situation> all = situations(subject.needs);
  for (const Situation& situation : all) {
    const Trial trial(subject, situation, parameters);
    const GradcheckResult result = gradcheck(situation.label, trial.f, trial.inputs,
                                             {.step = small_step, .seed = subject.seed(), .may_vanish = true});
    require(result.passed, "gradient", [&] { return result.report; });
    worst = std::max(worst, result.worst);
    const std::vector<bool> vanishes_here = trial.vanishing(subject.seed());
    for (size_t i = 0; i < parameters.size(); ++i) {
      vanishes[i] = vanishes[i] && vanishes_here[i];
      matters[i] = matters[i] || (vanishes[i] && !trial.without_effect(i, subject.seed()));
    }
  }
  std::string names = subject.needs.self ? "x" : "x, context", without;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::string& name = subject.parameter_name(i);
    require(!vanishes[i] || !matters[i], "gradient",
            [&] { return text("the gradient of ", name, " is zero, but the output depends on it"); });
    names += ", " + name;
    if (vanishes[i]) without += (without.empty() ? "; without effect, gradient 0: " : ", ") + name;
  }
  return text("worst relative error ", worst, " in ", all.size(), " situations, through ", names, without);
}

std::string double_gradient(const Subject& subject) {
  const std::vector<Tensor> parameters = subject.parameters();
  double worst = 0;
  const std::vector<Situation> all = situations(subject.needs);
  for (const Situation& situation : all) {
    const Trial trial(subject, situation, parameters);
    const GradcheckResult result = gradgradcheck(situation.label, trial.f, trial.inputs,
                                                 {.step = small_step, .relative = 1e-5, .seed = subject.seed()});
    require(result.passed, "double_gradient", [&] { return result.report; });
    worst = std::max(worst, result.worst);
  }
  return text("worst relative error ", worst, " in ", all.size(), " situations");
}

}  // namespace tapir::evidence
