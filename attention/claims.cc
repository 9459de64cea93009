#include "attention/claims.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/tolerance.h"
#include "tensor/arena.h"
#include "tensor/random.h"

namespace tapir {
namespace {

using Values = std::vector<double>;

double largest(const Values& x) {   // ∞ if one is not finite
  double size = 0;
  for (const double value : x) size = std::max(size, error_of(value, 0));
  return size;
}

// Largest |x − y| over `scale`; ∞ if a number is not finite.
double largest_difference(const Values& x, const Values& y, double scale = 1) {
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, error_of(x[i], y[i], scale));
  return worst;
}

// Largest |x − y| over the largest |y|.
double distance(const Values& x, const Values& y) {
  const double size = largest(y);
  return largest_difference(x, y, size > 0 ? size : 1);
}

Values rows_of(const Tensor& x, int64_t batch, int64_t begin, int64_t length) {   // tokens of one batch row of (B,T,C)
  return slice(slice(x.detach(), 0, batch, 1), 1, begin, length).values<double>();
}

bool is_zero(const Values& x) {
  return std::all_of(x.begin(), x.end(), [](double value) { return value == 0; });
}

Tensor normal(const Shape& shape, double deviation, const RandomKey& key) {
  Tensor x = Tensor::empty(shape, DType::f64);
  normal_(x, 0, deviation, key);
  return x;
}

// A mixer in f64 with parameters that show what it does.
class Subject {
 public:
  Subject(const Mechanism& mechanism, const nn::Options& options, const MixerShape& shape, uint64_t seed)
      : seed_(seed), width_(shape.width), needs(mechanism.needs(options)), mixer_(mechanism.make(options, shape)) {
    if (!needs.self) {
      MixerShape reading = shape;
      reading.context = nn::Context::other;
      reader_ = mechanism.make(options, reading);
      reader_->initialise(seed, DType::f64);
    }
    mixer_->initialise(seed, DType::f64);
    mixer_->each_parameter([&](const std::string& name, nn::Parameter& parameter) {
      parameters_.emplace_back(name, &parameter);
    });
    for (uint32_t draw = 0; draw < 200; ++draw) {
      draw_parameters(draw);
      if (shows_something()) break;
    }
  }

  Tensor tokens(int64_t batch, int64_t length, const std::string& site) const {
    return normal({batch, length, width_}, 1, {.seed = seed_, .step = 0, .site = site_of(site)});
  }

  // Of a sequence by itself.
  Tensor run(const Tensor& x, const Mask& mask) const { return run(x, x, mask, false); }

  // `other`: the context is another sequence than that of the queries.
  Tensor run(const Tensor& x, const Tensor& context, const Mask& mask, bool other) const {
    nn::Call call;
    call.mask = mask;
    return (other ? reader_ : mixer_)->forward(x, context, call);
  }

  nn::TokenMixer& mixer() const { return *mixer_; }

  // All values recorded under `name`.
  std::vector<Tensor> recorded(const std::string& name, const Tensor& x, const Tensor& context, const Mask& mask) const {
    std::vector<Tensor> values;
    nn::Call call;
    call.mask = mask;
    call.recorder = [&](const std::string&, const std::string& which, const Tensor& value) {
      if (which == name) values.push_back(value);
    };
    const NoGrad guard;
    (x.size(1) == context.size(1) ? mixer_ : reader_)->forward(x, context, call);
    return values;
  }

  std::vector<Tensor> parameters() const {
    std::vector<Tensor> values;
    for (const auto& [name, parameter] : parameters_) values.push_back(parameter->value);
    return values;
  }
  void set_parameters(const Tensor* values) const {
    for (const auto& [name, parameter] : parameters_) {
      parameter->value = *values++;
      if (reader_) reader_->parameter_at(name).value = parameter->value;
    }
  }
  const std::string& parameter_name(size_t i) const { return parameters_[i].first; }
  uint64_t seed() const { return seed_; }

 private:
  void draw_parameters(uint32_t draw) const {
    for (const auto& [name, parameter] : parameters_) {
      const Shape& shape = parameter->shape;
      const bool matrix = nn::decays(parameter->kind) && shape.rank() > 1;
      const double deviation = matrix ? 1.5 / std::sqrt(static_cast<double>(shape[-1])) : 0.5;
      const Tensor value = normal(shape, deviation, {.seed = seed_, .step = draw, .site = site_of(name)});
      parameter->value = requires_grad(parameter->kind == nn::ParameterKind::gain ? affine(value, 1, 1) : value);
      if (reader_) reader_->parameter_at(name).value = parameter->value;
    }
  }

  // Attention is far from uniform, and gates are neither all open nor all shut.
  bool shows_something() const {
    const Tensor x = tokens(2, 6, "x");
    for (const Tensor& gate : recorded("gate", x, x, {}))
      if (gate.item() < 0.25 || gate.item() > 0.75) return false;
    for (const Tensor& weights : recorded("weights", x, x, {}))
      if (largest(weights.values<double>()) < 2.0 / 6) return false;
    return true;
  }

  const uint64_t seed_;
  const int64_t width_;

 public:
  const nn::Needs needs;

 private:
  const std::unique_ptr<nn::TokenMixer> mixer_;
  std::unique_ptr<nn::TokenMixer> reader_;   // with the same parameters, of another sequence; null where it needs its own
  std::vector<std::pair<std::string, nn::Parameter*>> parameters_;
};

Mask causal_mask(int64_t offset = 0) { return {.causal = true, .offset = offset, .keys = {}}; }

Mask keys(const std::vector<uint8_t>& present, int64_t batch, bool causal = false) {
  const int64_t length = static_cast<int64_t>(present.size()) / batch;
  return {.causal = causal, .offset = 0, .keys = Tensor::from(present, {batch, length})};
}

Tensor zero_but(const Tensor& u, int64_t token) {   // the cotangent u (B,T,C) at one token
  return pad(slice(u, 1, token, 1), 1, token, u.size(1) - token - 1);
}

std::string causal(const Subject& subject) {
  constexpr int64_t T = 6, B = 2;
  const Mask mask = causal_mask();
  const Tensor x = requires_grad(subject.tokens(B, T, "x")), u = subject.tokens(B, T, "u");
  const Tensor other = subject.tokens(B, T, "other");
  const Tensor y = subject.run(x, mask);
  for (int64_t t = 0; t < T; ++t) {
    const Tensor changed = concat({slice(x, 1, 0, t + 1), slice(other, 1, t + 1, T - t - 1)}, 1).detach();
    const Tensor again = subject.run(changed, mask), g = grad({y}, {x}, {zero_but(u, t)}, {.retain = true})[0];
    for (int64_t b = 0; b < B; ++b) {
      require(rows_of(again, b, 0, t + 1) == rows_of(y, b, 0, t + 1), "causal",
              [&] { return text("other tokens after ", t, " change outputs up to ", t, " of ", T); });
      require(is_zero(rows_of(g, b, t + 1, T - t - 1)), "causal",
              [&] { return text("the gradient of output ", t, " is not 0 at a later token"); });
      require(!is_zero(rows_of(g, b, 0, t + 1)), "causal",
              [&] { return text("output ", t, " depends on no token up to ", t); });
    }
  }
  return text(T, " tokens: later ones change no bit, and their gradient is exactly 0");
}

std::string distribution(const Subject& subject) {
  const Tensor x = subject.tokens(2, 6, "x"), context = subject.tokens(2, 9, "context");
  const std::vector<uint8_t> present{1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0};
  double worst = 0;
  int64_t rows = 0;
  const auto judge = [&](const Tensor& key_tokens, const Mask& mask) {
    const std::vector<Tensor> all = subject.recorded("weights", x, key_tokens, mask);
    require(!all.empty(), "distribution", [] { return "the mixer records no \"weights\""; });
    for (const Tensor& weights : all) {
      const Values a = weights.values<double>();
      const int64_t S = weights.size(-1);
      for (int64_t row = 0; row < weights.elements() / S; ++row, ++rows) {
        const auto begin = a.begin() + row * S;
        require(std::all_of(begin, begin + S, [](double value) { return value >= 0; }), "distribution",
                [&] { return text("row ", row, " of ", weights.shape(), " has a weight that is not ≥ 0"); });
        const double error = error_of(std::accumulate(begin, begin + S, 0.0), 1);
        require(error <= 1e-12, "distribution",
                [&] { return text("row ", row, " of ", weights.shape(), " misses the sum 1 by ", error); });
        worst = std::max(worst, error);
      }
    }
  };
  judge(x, {});
  judge(x, causal_mask());
  judge(x, keys(present, 2));
  if (!subject.needs.self) judge(context, {});
  return text(rows, " rows of weights ≥ 0 that sum to 1, worst error ", worst);
}

std::string equivariant(const Subject& subject) {
  const std::vector<int64_t> order{3, 0, 5, 1, 6, 2, 4};
  const auto permute = [&](const Tensor& tokens) {
    std::vector<Tensor> parts;
    for (const int64_t t : order) parts.push_back(slice(tokens, 1, t, 1));
    return concat(parts, 1);
  };
  const NoGrad guard;
  const Tensor x = subject.tokens(2, static_cast<int64_t>(order.size()), "x"), permuted = permute(x);
  const double error = distance(subject.run(permuted, {}).values<double>(),
                                permute(subject.run(x, {})).values<double>());
  require(error <= 1e-10, "equivariant", [&] { return text("permuted tokens change the permuted outputs by ", error); });
  return text(order.size(), " tokens permuted: outputs follow, relative difference ", error);
}

// Gradients of ⟨u, mixer(x, x)⟩: of x, then of every parameter.
std::vector<Values> gradients(const Subject& subject, const Tensor& x, const Tensor& u, const Mask& mask) {
  std::vector<Tensor> inputs = subject.parameters();
  inputs.insert(inputs.begin(), x);
  std::vector<Values> result;
  for (const Tensor& g : grad({subject.run(x, mask)}, inputs, {u})) result.push_back(g.values<double>());
  return result;
}

std::string padding_safe(const Subject& subject) {
  constexpr int64_t T = 4, padding = 3;
  const Tensor x = requires_grad(subject.tokens(1, T, "x")), u = subject.tokens(1, T, "u");
  double worst = 0;
  const auto close = [&](const Values& found, const Values& expected, double scale, const std::string& what) {
    const double error = largest_difference(found, expected, scale);
    require(error <= 1e-13, "padding_safe", [&] { return text(what, " by ", error); });
    worst = std::max(worst, error);
  };
  for (const bool causal_too : {false, true}) {
    const Mask alone = causal_too ? causal_mask() : Mask();
    const Tensor y = subject.run(x, alone);
    const Values outputs = y.values<double>();
    const std::vector<Values> expected = gradients(subject, x, u, alone);
    double scale = 0;   // of all gradients: some may vanish but for rounding
    for (const Values& g : expected) scale = std::max(scale, largest(g));

    for (const double garbage : {0.0, -3.0, 1e100}) {
      const Tensor tail = affine(subject.tokens(1, padding, "padding"), garbage, garbage);
      const Tensor longer = requires_grad(concat({x, tail}, 1).detach());
      const Mask padded = keys({1, 1, 1, 1, 0, 0, 0}, 1, causal_too);
      const Tensor out = subject.run(longer, padded);
      close(rows_of(out, 0, 0, T), outputs, largest(outputs), "padded tokens change outputs");
      std::vector<Values> found = gradients(subject, longer, pad(u, 1, 0, padding), padded);
      require(is_zero({found[0].begin() + static_cast<int64_t>(expected[0].size()), found[0].end()}), "padding_safe",
              [] { return "padded tokens have a gradient"; });
      found[0].resize(expected[0].size());
      for (size_t i = 0; i < found.size(); ++i) close(found[i], expected[i], scale, "padded tokens change a gradient");
    }

    const Tensor pair = requires_grad(concat({x, subject.tokens(1, T, "hidden")}, 0).detach());
    const Mask second_hidden = keys({1, 1, 1, 1, 0, 0, 0, 0}, 2, causal_too);
    const Tensor out = subject.run(pair, second_hidden);
    require(is_zero(rows_of(out, 1, 0, T)), "padding_safe", [] { return "a row without keys does not give zeros"; });
    close(rows_of(out, 0, 0, T), outputs, largest(outputs), "a row without keys changes another row");
    for (const Values& g : gradients(subject, pair, pad(subject.tokens(1, T, "v"), 0, 1, 0), second_hidden))
      require(is_zero(g), "padding_safe", [] { return "a row without keys has a gradient"; });
  }
  return text(padding, " padded tokens with values up to 1e100 change nothing (relative difference ", worst,
              "); a row without keys gives zeros and zero gradients");
}

std::string streaming(const Subject& subject) {
  constexpr int64_t T = 6, B = 2;
  const NoGrad guard;
  const Tensor x = subject.tokens(B, T, "x"), whole = subject.run(x, causal_mask());
  const double scale = largest(whole.values<double>());
  double worst = 0;
  for (int64_t split = 1; split <= T; ++split) {
    const std::unique_ptr<nn::MixerState> state = subject.mixer().state(B);
    for (int64_t begin = 0, end = split; begin < T; begin = end++) {
      const Tensor y = subject.mixer().step(slice(x, 1, begin, end - begin), *state, std::vector<int64_t>(B, begin), {});
      const double error = largest_difference(y.values<double>(), slice(whole, 1, begin, end - begin).values<double>(), scale);
      require(error <= 1e-12, "streaming",
              [&] { return text("after ", split, " tokens at once, tokens ", begin, " to ", end - 1, " differ by ", error); });
      worst = std::max(worst, error);
    }
  }
  return text("every split of ", T, " tokens, then one by one: relative difference ", worst);
}

// Multiplications and additions of products of matrices, elements of all other results.
class Operations : public Observer {
 public:
  void applied(const char* op, const std::vector<Tensor>& inputs, const Tensor& y) override {
    const std::string_view name = op;
    const bool product = name == "matmul" || name == "linear" || name == "mix";
    count += (product ? 2 * static_cast<double>(inputs[0].size(-1)) : 1) * static_cast<double>(y.elements());
  }
  double count = 0;
};

std::string linear(const Subject& subject) {
  struct Cost {
    double operations, bytes;
  };
  const auto cost = [&](int64_t tokens, const Mask& mask) {
    Arena& arena = Arena::of(default_device());
    const Tensor x = requires_grad(subject.tokens(1, tokens, "x"));
    arena.reset_peak();
    const int64_t before = arena.statistics().peak;
    Operations counter;
    const Tensor y = subject.run(x, mask);
    grad({y}, {x}, {subject.tokens(1, tokens, "u")});
    return Cost{counter.count, static_cast<double>(arena.statistics().peak - before)};
  };
  constexpr int64_t N = 512;
  std::string evidence = text("from ", N, " to ", 2 * N, " tokens");
  for (const bool is_causal : {false, true}) {
    const Mask mask = is_causal ? causal_mask() : Mask();
    const Cost one = cost(N, mask), two = cost(2 * N, mask);
    const double operations = two.operations / one.operations, bytes = two.bytes / one.bytes;
    const std::string found =
        text(is_causal ? ", causal: " : ": ", operations, " times the operations, ", bytes, " times the memory");
    require(operations <= 2.1 && bytes <= 2.1, "linear", [&] { return evidence + found; });
    evidence += found;
  }
  return evidence;
}

std::string batch_independent(const Subject& subject) {
  constexpr int64_t T = 4, B = 3;
  const NoGrad guard;
  const Tensor x = subject.tokens(B, T, "x"), other = subject.tokens(B, T, "other");
  const Tensor changed = concat({slice(x, 0, 0, 1), slice(other, 0, 1, B - 1)}, 0);
  for (const bool training : {false, true})
    for (const Mask& mask : {Mask(), causal_mask()}) {
      const auto first = [&](const Tensor& tokens) {
        nn::Effects effects;
        const nn::Call call{.training = training, .mask = mask, .recorder = {}, .effects = &effects};
        return rows_of(subject.mixer().forward(tokens, tokens, call), 0, 0, T);
      };
      require(first(x) == first(changed), "batch_independent",
              [&] { return text("other samples change the first one", training ? " in training" : ""); });
    }
  return text(B - 1, " other samples change no bit of the first one, in training or not");
}

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

using Evidence = std::string (*)(const Subject&);

Evidence evidence_of(const std::string& claim) {   // null: of `exact`
  static const std::map<std::string, Evidence> all{{"causal", causal},       {"distribution", distribution},
                                                   {"equivariant", equivariant}, {"padding_safe", padding_safe},
                                                   {"streaming", streaming}, {"linear", linear},
                                                   {"batch_independent", batch_independent}};
  const auto found = all.find(claim);
  return found == all.end() ? nullptr : found->second;
}

}  // namespace

std::vector<Proof> prove(const Mechanism& mechanism, const nn::Options& options, uint64_t seed, const MixerShape& shape) {
  const auto proof = [&](const char* claim, Evidence evidence, int points = 1) {
    Proof result{claim, false, {}};
    for (int point = 0; point < points && !result.holds; ++point) {
      try {
        result.evidence = evidence(Subject(mechanism, options, shape, seed + point));
        result.holds = true;
      } catch (const Error& error) {
        result.evidence = error.what();
      }
    }
    return result;
  };
  const Claims claims = mechanism.claims(options);
  std::vector<Proof> proofs;
  for (const auto& [name, made] : all_claims)
    if (claims.*made && evidence_of(name)) proofs.push_back(proof(name, evidence_of(name)));
  // At some points a step straddles a kink, or a gate is open for all pairs, so that a parameter happens not to matter
  // there. Hence up to three points: a derivative that is wrong is so everywhere.
  proofs.push_back(proof("gradient", gradient, 3));
  proofs.push_back(proof("double_gradient", double_gradient, 3));
  return proofs;
}

}  // namespace tapir
