// What a mask hides is not read: whatever stands there, NaN included, reaches no result and no gradient.
#include <doctest/doctest.h>

#include "attention/mechanisms/additive.h"
#include "attention/mechanisms/dot_product.h"
#include "attention/recurrent_attention.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "tests/attention/attention_helpers.h"
#include "tests/autograd/evaluate.h"

using namespace tapir;

namespace {

constexpr double quiet_nan = std::numeric_limits<double>::quiet_NaN();

// x (B,S,…), with a number in place of the tokens that are 0 in `kept` (B,S).
Tensor with_hidden(const Tensor& x, const std::vector<uint8_t>& kept, double number) {
  const int64_t B = x.size(0), S = x.size(-2);
  const Tensor condition = reshape(Tensor::from(kept, {B, S}), x.rank() == 3 ? Shape{B, S, 1} : Shape{B, 1, S, 1});
  return where(condition, x, Tensor::full({}, number, x.dtype()));
}

// Calls judge(mixer) for every mechanism of every shape, naive and fused where it has both, and once more as the other forms
// of its options.
template <class Judge>
void for_every_mechanism(const Judge& judge) {
  for (const Mechanism& row : zoo())
    for (const char* implementation : {"naive", "fused"})
      for (const bool other : {false, true}) {
        const std::unique_ptr<nn::Options> options = row.options();
        auto* staged = dynamic_cast<StagedOptions*>(options.get());
        if (staged) staged->implementation = implementation;
        else if (implementation == std::string("fused")) continue;
        if (auto* network = dynamic_cast<ScoreMlpOptions*>(options.get())) network->form = other ? "paper" : "released";
        else if (auto* expressive = dynamic_cast<ExpressiveOptions*>(options.get())) expressive->alibi = other;
        else if (auto* additive = dynamic_cast<AdditiveOptions*>(options.get())) additive->bias = other;
        else if (other) continue;
        for (const NamedShape& one : shapes_of(row)) {
          INFO(row.name, ", ", implementation, ", other ", other, ", ", one.name);
          const auto mixer = row.make(*options, one.shape);
          mixer->initialise(1, DType::f64);
          spread_parameters(*mixer, 1);
          judge(*mixer, one.shape);
        }
      }
}

}  // namespace

TEST_CASE("masks: a key that the key mask hides reaches no result and no gradient, of any order, in every mechanism") {
  const std::vector<uint8_t> kept{1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0};   // of the last sequence none
  const Tensor x = random_normal({3, 4, 8}, 1, "x"), context = random_normal({3, 5, 8}, 1, "context");
  const Mask mask{.causal = false, .offset = 0, .keys = Tensor::from(kept, {3, 5})};
  for_every_mechanism([&](nn::TokenMixer& mixer, const MixerShape&) {
    if (mixer.needs().self) return;   // test_twicing.cc
    const auto evaluate_with = [&](double hidden) {
      std::vector<Tensor> leaves{requires_grad(x), requires_grad(context)};
      for (const auto& [name, parameter] : parameters_of(mixer)) leaves.push_back(parameter->value);
      const Tensor y = mixer.forward(leaves[0], with_hidden(leaves[1], kept, hidden), call_with(mask));
      Result judged{y, grad({sum(square(y))}, leaves, {}, {.retain = true})};
      const std::vector<Tensor> first = grad({sum(square(y))}, leaves, {}, {.create_graph = true});
      Tensor total = Tensor::zeros({}, DType::f64);
      for (const Tensor& g : first) total = add(total, sum(square(g)));
      for (const Tensor& g : grad({total}, leaves)) judged.gradients.push_back(g);
      return judged;
    };
    const Result clean = evaluate_with(0);
    for (const double hidden : {quiet_nan, HUGE_VAL, 1e300}) {
      CAPTURE(hidden);
      const Result odd = evaluate_with(hidden);
      CHECK(same_bits(odd.y, clean.y));
      for (size_t i = 0; i < clean.gradients.size(); ++i) {
        CAPTURE(i);
        CHECK(same_bits(odd.gradients[i], clean.gradients[i]));
      }
    }
  });
}

TEST_CASE("masks: a key is there whatever byte but 0 says so, in every mechanism, whole and token by token") {
  const Tensor x = random_normal({2, 5, 8}, 1, "x");
  const Tensor ones = Tensor::from(std::vector<uint8_t>{1, 1, 1, 0, 0, 1, 1, 1, 1, 1}, {2, 5});
  const Tensor bytes = Tensor::from(std::vector<uint8_t>{255, 2, 1, 0, 0, 3, 128, 255, 7, 1}, {2, 5});
  for_every_mechanism([&](nn::TokenMixer& mixer, const MixerShape&) {
    for (const bool causal : {false, true}) {
      if (causal && (mixer.needs().all_tokens || message_of([&] { mixer.state(2); }) != "no error")) continue;
      CAPTURE(causal);
      const auto y_with = [&](const Tensor& keys) {
        return mixer.forward(x, x, call_with({.causal = causal, .offset = 0, .keys = keys}));
      };
      CHECK(same_bits(y_with(bytes), y_with(ones)));
      if (!causal) continue;
      const auto steps_with = [&](const Tensor& keys) {
        const auto state = mixer.state(2);
        const Tensor first = mixer.step(x, *state, {0, 0}, call_with({.keys = keys}));
        return concat({first, mixer.step(slice(x, 1, 0, 1), *state, {3, 5}, {})}, 1);
      };
      CHECK(same_bits(steps_with(bytes), steps_with(ones)));
    }
  });
}

TEST_CASE("masks: the same on heads, of keys and values") {
  const std::vector<uint8_t> kept{1, 0, 1, 1, 0, 0, 1, 0, 1, 1};
  for_every_mechanism([&](nn::TokenMixer& mixer, const MixerShape& shape) {
    if (mixer.needs().self || dynamic_cast<const RecurrentAttention*>(&mixer)) return;   // its heads are wider
    const int64_t H = shape.heads, G = shape.key_head_count(), D = shape.head_channels();
    const Tensor Q = random_normal({2, H, 4, D}, 1, "Q"), K = random_normal({2, G, 5, D}, 1, "K"),
                 V = random_normal({2, G, 5, D}, 1, "V");
    const auto& staged = dynamic_cast<const ProjectedAttention&>(mixer);
    const auto evaluate_with = [&](double key, double value) {
      const std::vector<Tensor> leaves{requires_grad(Q), requires_grad(with_hidden(K, kept, key)),
                                       requires_grad(with_hidden(V, kept, value))};
      const Mask mask{.causal = true, .offset = 1, .keys = Tensor::from(kept, {2, 5})};
      const Tensor y = staged.attend(leaves[0], leaves[1], leaves[2], call_with(mask));
      return Result{y, grad({sum(square(y))}, leaves)};
    };
    const Result clean = evaluate_with(0, 0);
    for (const auto& [key, value] : {std::pair{quiet_nan, 0.0}, {0.0, quiet_nan}, {HUGE_VAL, -HUGE_VAL}}) {
      const Result odd = evaluate_with(key, value);
      CHECK(same_bits(odd.y, clean.y));
      for (size_t i = 0; i < clean.gradients.size(); ++i) CHECK(same_bits(odd.gradients[i], clean.gradients[i]));
    }
  });
}

TEST_CASE("masks: a later token reaches no earlier result under a causal mask, and every result from its own place on") {
  const Tensor x = random_normal({1, 6, 8}, 1, "x");
  for_every_mechanism([&](nn::TokenMixer& mixer, const MixerShape&) {
    if (mixer.needs().all_tokens) return;
    const Mask causal{.causal = true, .offset = 0, .keys = {}};
    const auto y_of = [&](const Tensor& tokens) { return mixer.forward(tokens, tokens, call_with(causal)); };
    const Tensor clean = y_of(x);
    for (const double number : {quiet_nan, HUGE_VAL}) {
      const Tensor odd = y_of(with_hidden(x, {1, 1, 1, 1, 0, 1}, number));
      const auto earlier = [](const Tensor& y) { return slice(y, 1, 0, 4).values<double>(); };
      CHECK(frobenius_error(earlier(odd), earlier(clean)) <= 1e-14);   // the allowed may be summed in another order
      for (const double value : slice(odd, 1, 4, 2).values<double>()) CHECK(std::isnan(value));
    }
  });
}

TEST_CASE("masks: NaN of a value reaches every query that may see it, however small its weight") {
  const Tensor Q = Tensor::full({1, 1, 1, 1}, 1, DType::f64);
  const Tensor V = Tensor::from(std::vector<double>{1, quiet_nan}, {1, 1, 2, 1});
  for (const double score : {0.0, -800.0, -1e30}) {   // the second weight: ½, 0, 0
    const Tensor K = Tensor::from(std::vector<double>{0, score}, {1, 1, 2, 1});
    for (const bool fused : {false, true}) {
      const auto mixer = make_dot_product({.width = 1, .heads = 1}, fused);
      const auto& staged = dynamic_cast<const StagedAttention&>(*mixer);
      CHECK(std::isnan(staged.attend(Q, K, V, {}).item()));
      CHECK(std::isnan(staged.attend(Q, K, V, call_with({.causal = true, .offset = 1})).item()));
      CHECK(staged.attend(Q, K, V, call_with({.causal = true, .offset = 0})).item() == 1);
    }
  }
}
