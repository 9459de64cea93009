// Proofs of the claims about values, with the gradients that must be 0.
#include <algorithm>
#include <numeric>

#include "attention/claims/subject.h"
#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/tolerance.h"
#include "tensor/arena.h"

namespace tapir::evidence {
namespace {

Values rows_of(const Tensor& x, int64_t batch, int64_t begin, int64_t length) {   // tokens of one batch row of (B,T,C)
  return slice(slice(x.detach(), 0, batch, 1), 1, begin, length).values<double>();
}

bool is_zero(const Values& x) {
  return std::all_of(x.begin(), x.end(), [](double value) { return value == 0; });
}

Tensor zero_but(const Tensor& u, int64_t token) {   // the cotangent u (B,T,C) at one token
  return pad(slice(u, 1, token, 1), 1, token, u.size(1) - token - 1);
}

constexpr const char* out_bias = "out.bias";   // of the output projection, where it has one

// Without a causal mask, and with one where the mixer takes it.
std::vector<Mask> masks(const Subject& subject) {
  return subject.needs.all_tokens ? std::vector<Mask>{{}} : std::vector<Mask>{{}, causal_mask()};
}

// The parameters, but 0 for the bias of the output projection, which tokens without keys get too.
std::vector<Tensor> without_out_bias(const Subject& subject) {
  std::vector<Tensor> parameters = subject.parameters();
  for (size_t i = 0; i < parameters.size(); ++i)
    if (subject.parameter_name(i) == out_bias) parameters[i] = requires_grad(Tensor::zeros(parameters[i].shape(), DType::f64));
  return parameters;
}

// Gradients of ⟨u, mixer(x, x)⟩: of x, then of every parameter.
std::vector<Values> gradients(const Subject& subject, const Tensor& x, const Tensor& u, const Mask& mask) {
  std::vector<Tensor> inputs = subject.parameters();
  inputs.insert(inputs.begin(), x);
  std::vector<Values> result;
  for (const Tensor& g : grad({subject.run(x, mask)}, inputs, {u})) result.push_back(g.values<double>());
  return result;
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

std::vector<nn::Positions> accepted_by(const nn::TokenMixer& mixer) {
  std::vector<nn::Positions> all;
  for (const auto& [positions, name] : nn::all_positions)
    if (mixer.accepts(positions)) all.push_back(positions);
  return all;
}

}  // namespace

std::string causal(const Subject& subject) {
  constexpr int64_t T = 6, B = 2;
  const Mask mask = causal_mask();
  const Tensor x = requires_grad(subject.tokens(B, T, "x")), u = subject.tokens(B, T, "u");
  const Tensor other = subject.tokens(B, T, "other");
  require(!subject.needs.all_tokens, "causal", [] { return "the mixer says that it needs all tokens"; });
  for (const bool training : {false, true}) {
    const std::string in_training = training ? " in training" : "";
    const auto run = [&](const Tensor& tokens) {
      return training ? subject.run_in_training(tokens, mask) : subject.run(tokens, mask);
    };
    const Tensor y = run(x);
    for (int64_t t = 0; t < T; ++t) {
      const Tensor changed = concat({slice(x, 1, 0, t + 1), slice(other, 1, t + 1, T - t - 1)}, 1).detach();
      const Tensor again = run(changed), g = grad({y}, {x}, {zero_but(u, t)}, {.retain = true})[0];
      for (int64_t b = 0; b < B; ++b) {
        require(rows_of(again, b, 0, t + 1) == rows_of(y, b, 0, t + 1), "causal",
                [&] { return text("other tokens after ", t, " change outputs up to ", t, " of ", T, in_training); });
        require(is_zero(rows_of(g, b, t + 1, T - t - 1)), "causal",
                [&] { return text("the gradient of output ", t, " is not 0 at a later token", in_training); });
        require(!is_zero(rows_of(g, b, 0, t + 1)), "causal",
                [&] { return text("output ", t, " depends on no token up to ", t, in_training); });
      }
    }
  }
  return text(T, " tokens: later ones change no bit, and their gradient is exactly 0, in training or not");
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
      const Shape pairs{x.size(0), weights.size(1), x.size(1), key_tokens.size(1)};
      require(weights.shape() == pairs, "distribution",
              [&] { return text("weights are (B,heads,T,S), here ", pairs, ", got ", weights.shape()); });
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
  for (const Mask& mask : masks(subject)) judge(x, mask);
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

std::string padding_safe(const Subject& subject) {
  constexpr int64_t T = 4, padding = 3;
  const Tensor x = requires_grad(subject.tokens(1, T, "x")), u = subject.tokens(1, T, "u");
  double worst = 0;
  const auto close = [&](const Values& found, const Values& expected, double scale, const std::string& what) {
    const double error = largest_difference(found, expected, scale);
    require(error <= 1e-13, "padding_safe", [&] { return text(what, " by ", error); });
    worst = std::max(worst, error);
  };
  for (const Mask& alone : masks(subject)) {
    const bool causal_too = alone.causal;
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
    close(rows_of(out, 0, 0, T), outputs, largest(outputs), "a row without keys changes another row");
    const std::vector<Tensor> drawn = subject.parameters();
    subject.set_parameters(without_out_bias(subject).data());
    require(is_zero(rows_of(subject.run(pair, second_hidden), 1, 0, T)), "padding_safe",
            [] { return "a row without keys does not give zeros"; });
    const std::vector<Values> left = gradients(subject, pair, pad(subject.tokens(1, T, "v"), 0, 1, 0), second_hidden);
    for (size_t i = 0; i < left.size(); ++i)
      require(is_zero(left[i]) || (i > 0 && subject.parameter_name(i - 1) == out_bias), "padding_safe",
              [] { return "a row without keys has a gradient"; });
    subject.set_parameters(drawn.data());
  }
  return text(padding, " padded tokens with values up to 1e100 change nothing (relative difference ", worst,
              "); a row without keys gives zeros and zero gradients");
}

std::string streaming(const Subject& subject) {
  constexpr int64_t T = 6, B = 2;
  const NoGrad guard;
  const Tensor x = subject.tokens(B, T, "x");
  double worst = 0;
  std::string names;
  for (const nn::Positions positions : accepted_by(subject.mixer())) {
    const Subject placed(subject, positions);
    const Tensor whole = placed.run(x, causal_mask());
    const double scale = largest(whole.values<double>());
    for (int64_t split = 1; split <= T; ++split) {
      const std::unique_ptr<nn::MixerState> state = placed.mixer().state(B);
      for (int64_t begin = 0, end = split; begin < T; begin = end++) {
        const Tensor part = slice(x, 1, begin, end - begin);
        const std::vector<int64_t> lengths(B, begin);
        const Tensor mixed = placed.mixer().step(part, *state, lengths, placed.at_places({}, part, part));
        const Tensor y = nn::after_feed_forward(placed.mixer(), mixed, {});
        const double error =
            largest_difference(y.values<double>(), slice(whole, 1, begin, end - begin).values<double>(), scale);
        require(error <= 1e-12, "streaming", [&] {
          return text("after ", split, " tokens at once, tokens ", begin, " to ", end - 1, " differ by ", error,
                      ", positions ", name_of(positions));
        });
        worst = std::max(worst, error);
      }
    }
    names += text(names.empty() ? "" : ", ", name_of(positions));
  }
  return text("every split of ", T, " tokens, then one by one: relative difference ", worst, "; positions ", names);
}

// A mixer that takes positions has them at work, the same for the last tokens as for all.
std::string positions(const Subject& subject) {
  constexpr int64_t T = 6, last = 2, B = 2;
  const NoGrad guard;
  const Tensor x = subject.tokens(B, T, "x"), plain = Subject(subject, nn::Positions::none).run(x, causal_mask());
  std::string names;
  for (const nn::Positions positions : accepted_by(subject.mixer())) {
    const Subject placed(subject, positions);
    const Tensor y = placed.run(x, causal_mask());
    if (positions != nn::Positions::none)
      require(distance(y.values<double>(), plain.values<double>()) > 1e-6, "positions",
              [&] { return text("the mixer accepts ", name_of(positions), ", which changes nothing"); });
    if (!subject.needs.self) {
      const Tensor part = placed.run(slice(x, 1, T - last, last), x, causal_mask(T - last), false);
      const double error = distance(part.values<double>(), slice(y, 1, T - last, last).values<double>());
      require(error <= 1e-12, "positions", [&] {
        return text("the last ", last, " tokens alone, at their offset, differ by ", error, ", positions ", name_of(positions));
      });
    }
    names += text(names.empty() ? "" : ", ", name_of(positions));
  }
  return text(names, ": each has an effect, and the last ", last, " tokens alone are those of all ", T);
}

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
  for (const Mask& mask : masks(subject)) {
    const Cost one = cost(N, mask), two = cost(2 * N, mask);
    const double operations = two.operations / one.operations, bytes = two.bytes / one.bytes;
    const std::string found =
        text(mask.causal ? ", causal: " : ": ", operations, " times the operations, ", bytes, " times the memory");
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
    for (const Mask& mask : masks(subject)) {
      const auto first = [&](const Tensor& tokens) {
        nn::Effects effects;
        const nn::Call call{.training = training, .mask = mask, .recorder = {}, .effects = &effects};
        return rows_of(subject.run(subject.mixer(), tokens, tokens, call), 0, 0, T);
      };
      require(first(x) == first(changed), "batch_independent",
              [&] { return text("other samples change the first one", training ? " in training" : ""); });
    }
  return text(B - 1, " other samples change no bit of the first one, in training or not");
}

}  // namespace tapir::evidence
