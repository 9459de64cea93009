// Fused attention in the mechanisms that have it: the results of the stages, without their memory.
#include <doctest/doctest.h>

#include "attention/kernels/fused_attention.h"
#include "attention/mechanisms/attention_bn.h"
#include "attention/mechanisms/cosine.h"
#include "attention/mechanisms/dnas.h"
#include "attention/mechanisms/inter_token.h"
#include "attention/mechanisms/mlp_qkv.h"
#include "attention/mechanisms/twicing.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "tensor/arena.h"
#include "tensor/dry_run.h"
#include "tests/attention/attention_helpers.h"

using namespace tapir;

namespace {

struct Made {
  std::string label;
  std::unique_ptr<nn::TokenMixer> naive, fused;
};

template <class Options>
Made both(const std::string& name, Options options, const MixerShape& shape, const std::string& label = "") {
  Made made{name + label, nullptr, nullptr};
  for (auto* mixer : {&made.naive, &made.fused}) {
    options.implementation = mixer == &made.naive ? "naive" : "fused";
    *mixer = mechanism(name).make(options, shape);
    (*mixer)->initialise(1, DType::f64);
    spread_parameters(**mixer, 1);
  }
  return made;
}

std::vector<Made> mechanisms(const MixerShape& shape) {
  std::vector<Made> all;
  all.push_back(both("dot_product", StagedOptions(), shape));
  all.push_back(both("expressive", expressive_options(1, false), shape));
  all.push_back(both("expressive", expressive_options(0, true), shape, ", ALiBi, β = 1/√D"));
  all.push_back(both("score_mlp", score_mlp_options("paper", 3), shape));
  all.push_back(both("score_mlp", score_mlp_options("paper", 2, false, true), shape, ", a network for each head, scaled"));
  all.push_back(both("score_mlp", score_mlp_options("released", 4), shape, ", released"));
  all.push_back(both("score_mlp", score_mlp_options("released", 2, false, true), shape, ", released, for each head, scaled"));
  all.push_back(both("mlp_qkv", MlpQkvOptions(), shape));
  all.push_back(both("cosine", CosineOptions(), shape));
  all.push_back(both("twicing", TwicingOptions(), shape));
  all.push_back(both("attention_bn", AttentionBnOptions(), shape));
  for (const bool hybrid : {false, true}) {
    DnasOptions options;
    options.hybrid = hybrid;
    all.push_back(both("dnas", options, shape, hybrid ? ", hybrid" : ""));
  }
  for (const char* temperature : {"fixed", "factor", "logarithm", "network"})
    for (const bool diagonal : {false, true}) {
      InterTokenOptions options;
      options.temperature = temperature;
      options.diagonal = diagonal;
      all.push_back(both("inter_token", options, shape, std::string(", ") + temperature + (diagonal ? ", diagonal" : "")));
    }
  return all;
}

// The output, then the gradients of x, of the context and of the parameters.
std::vector<Tensor> results_of(nn::TokenMixer& mixer, const Tensor& x, const Tensor& context, const nn::Call& call) {
  const Tensor y = mixer.forward(x, context, call);
  std::vector<Tensor> inputs{x, context};
  for (const auto& named : parameters_of(mixer)) inputs.push_back(named.second->value);
  std::vector<Tensor> results = grad({y}, inputs, {random_normal(y.shape(), 3, "g")});
  results.insert(results.begin(), y);
  return results;
}

}  // namespace

TEST_CASE("fused attention: every mechanism gives the results and gradients of its stages") {
  const int64_t T = 70, S = 90;
  for (const MixerShape& shape : {MixerShape{.width = 16, .heads = 4}, MixerShape{.width = 16, .heads = 4, .key_heads = 2},
                                  MixerShape{.width = 16, .heads = 4, .key_heads = 2, .head_width = 6, .biases = true}})
    for (const auto positions : {nn::Positions::none, nn::Positions::alibi, nn::Positions::rotary})
      for (const bool causal : {false, true}) {
        const Tensor x = requires_grad(random_normal({2, T, 16}, 1, "x"));
        const Tensor other = requires_grad(random_normal({2, S, 16}, 2, "context"));
        MixerShape placed = shape;
        placed.positions = positions;
        for (const Made& made : mechanisms(placed)) {
          const nn::Needs needs = made.fused->needs();
          if (!made.naive->accepts(positions) || (causal && needs.all_tokens)) continue;
          const Tensor& context = needs.self ? x : other;
          nn::Call call{.mask = {.causal = causal, .offset = needs.self ? 0 : 7, .keys = {}}, .recorder = {}};
          if (causal || needs.all_tokens) {   // keys that are not there too
            std::vector<uint8_t> present(2 * context.size(1), 1);
            for (size_t s = 0; s < present.size(); s += 3) present[s] = 0;
            call.mask.keys = Tensor::from(present, {2, context.size(1)});
          }
          INFO(made.label, ", ", shape.key_head_count(), " key heads of ", shape.head_channels(), ", positions ",
               std::string(name_of(positions)), causal ? ", causal" : "");
          const std::vector<Tensor> naive = results_of(*made.naive, x, context, call);
          const std::vector<Tensor> fused = results_of(*made.fused, x, context, call);
          for (size_t i = 0; i < naive.size(); ++i) {
            CAPTURE(i);
            const std::vector<double> a = fused[i].values<double>(), b = naive[i].values<double>();
            double largest = 0, difference = 0;
            for (size_t j = 0; j < a.size(); ++j) {
              largest = std::max(largest, std::fabs(b[j]));
              difference = std::max(difference, std::fabs(a[j] - b[j]));
            }
            CHECK(difference <= 1e-11 * std::max(1.0, largest));
          }
        }
      }
}

TEST_CASE("fused attention: memory grows with T, not with T × T") {
  constexpr int64_t T = 1024, matrix = T * T * static_cast<int64_t>(sizeof(float));
  const auto extra = [&](const auto& attention) {   // peak of a forward and a backward pass, beyond the inputs
    std::vector<Tensor> in;
    for (const char* site : {"q", "k", "v"}) in.push_back(requires_grad(random_normal({1, 1, T, 4}, 1, site, DType::f32)));
    Arena& arena = Arena::of(default_device());
    arena.reset_peak();
    const int64_t before = arena.statistics().in_use;
    const std::vector<Tensor> gradients = grad({sum(attention(in))}, in);
    return arena.statistics().peak - before;
  };
  const Tensor weight = random_normal({1, 4}, 1, "w", DType::f32);
  const Mask causal{.causal = true, .offset = 0, .keys = {}};
  CHECK(extra([&](const auto& in) { return matmul(softmax(matmul(in[0], transpose(in[1])), causal), in[2]); }) > 2 * matrix);
  CHECK(extra([&](const auto& in) { return dot_product_attention(in[0], in[1], in[2], causal, false, true); }) < matrix / 10);
  CHECK(extra([&](const auto& in) { return expressive_attention(in[0], in[1], in[2], causal, false); }) < matrix / 10);
  CHECK(extra([&](const auto& in) { return network_attention(in[0], in[1], in[2], weight, causal, false); }) < matrix / 10);
  const Tensor hidden = random_normal({1, 2, 4}, 1, "hidden", DType::f32), last = random_normal({1, 2}, 1, "last", DType::f32);
  CHECK(extra([&](const auto& in) { return deep_network_attention(in[0], in[1], in[2], hidden, last, causal, false); }) <
        matrix / 10);
}

TEST_CASE("fused attention: a pass and its backward of every mechanism take twice the memory for twice the tokens") {
  const MixerShape shape{.width = 16, .heads = 4};
  const auto peak = [&](nn::TokenMixer& mixer, int64_t T) {
    const DryRun run;
    Arena& arena = Arena::of(default_device());
    const Tensor x = requires_grad(Tensor::zeros({1, T, 16}, DType::f64));
    arena.reset_peak();
    const int64_t before = arena.statistics().in_use;
    grad({mixer.forward(x, x, call_with({.causal = !mixer.needs().all_tokens, .keys = {}}))}, {x}, {x});
    return static_cast<double>(arena.statistics().peak - before);
  };
  for (const Made& made : mechanisms(shape)) {
    CAPTURE(made.label);
    CHECK(peak(*made.fused, 2048) <= 2.1 * peak(*made.fused, 1024));
    CHECK(peak(*made.naive, 2048) > 3 * peak(*made.naive, 1024));
  }
}

TEST_CASE("fused attention: a network's gradients obey what follows from its form") {
  const auto close = [](const Tensor& x, const Tensor& y) {
    return frobenius_error(x.values<double>(), y.values<double>()) < 1e-12;
  };
  const int64_t R = 3, M = 5;
  const Tensor V = random_normal({2, 2, 70, 3}, 3, "v"), g = random_normal({2, 2, 66, 3}, 4, "g");
  const Tensor a = requires_grad(random_normal({2, 2, 66, M}, 1, "a")), c = requires_grad(random_normal({2, 2, 70, M}, 2, "c"));
  const Tensor hidden = requires_grad(random_normal({2, R, M}, 5, "hidden")), w = requires_grad(random_normal({2, R}, 6, "w"));
  const Tensor shift = random_normal({2, 2, 1, M}, 7, "shift");
  const Mask mask{.causal = true, .offset = 4, .keys = {}};
  for (const bool deep : {false, true}) {
    CAPTURE(deep);
    const auto attention = [&](const Tensor& queries, const Tensor& keys) {
      return deep ? deep_network_attention(queries, keys, V, hidden, w, mask, true)
                  : network_attention(queries, keys, V, reshape(slice(hidden, 1, 0, 1), {2, M}), mask, true);
    };
    const Tensor y = attention(a, c);
    CHECK(close(attention(add(a, shift), sub(c, shift)), y));   // only a + c is seen
    const std::vector<Tensor> d = grad({y}, deep ? std::vector<Tensor>{a, c, hidden, w} : std::vector<Tensor>{a, c}, {g});
    CHECK(close(sum(d[0], 2), sum(d[1], 2)));                   // so both sums are the gradient of a common bias
    if (deep) CHECK(close(mul(w, d[3]), sum(mul(hidden, d[2]), 2)));   // both are Σ ds w ReLU(y): y is homogeneous in W
  }
}

TEST_CASE("fused attention: a dry run counts its operations") {
  const DryRun dry;
  std::vector<Tensor> in;
  for (const Shape& shape : {Shape{2, 3, 5, 4}, Shape{2, 3, 7, 4}, Shape{2, 3, 7, 6}})
    in.push_back(requires_grad(Tensor::zeros(shape)));
  const auto counted = [&] {
    int64_t all = 0;
    for (const auto& [path, operations] : dry.operations()) all += operations;
    return all;
  };
  const int64_t features = 2 * 2 * 3 * 5 * 7 * 4, values = 2 * 2 * 3 * 5 * 7 * 6;
  const Tensor y = dot_product_attention(in[0], in[1], in[2], {}, false, true);
  CHECK(counted() == features + values);                              // q·k, and the sum of values
  grad({sum(y)}, in);
  int64_t all = (features + values) + 4 * features + 3 * values;   // twice q·k and g·v; dq, dk, dv
  CHECK(counted() == all);
  const Tensor hidden = Tensor::zeros({1, 3, 4}), last = Tensor::zeros({1, 3});
  const Tensor z = deep_network_attention(in[0], in[1], in[2], hidden, last, {}, false);
  all += 3 * features + values;                                    // a pass for each unit of the second layer
  CHECK(counted() == all);
  grad({sum(z)}, {in[2]});
  all += 18 * features + 3 * values;                               // twice the units' sums, those again to pull, and the pull
  CHECK(counted() == all);
  const int64_t pairs = 2 * 2 * 3 * 7 * 7;
  const Tensor o = twicing_attention(in[1], in[1], in[2], {}, false);
  all += pairs * (2 * 4 + 2 * 6);
  CHECK(counted() == all);
  grad({sum(o)}, {in[1]});
  all += pairs * (5 * 4 + 6 * 6);                                  // three times q·k, twice g·u and g·v; dU, dq, dk, dv
  CHECK(counted() == all);
  const Tensor doubly = doubly_normalised_attention(in[1], in[1], in[2], {}, false);
  all += pairs * (4 + 5 + 6);                                      // columns, then with a feature more
  CHECK(counted() == all);
  grad({sum(doubly)}, {in[1]});
  CHECK(counted() == all + pairs * (5 * 5 + 3 * 7));               // three times q·k, dq, dk; dv, twice g·v, with a channel more
}

TEST_CASE("fused attention: a recorder still gets the weights, and the result does not change") {
  const Tensor x = random_normal({1, 5, 16}, 1, "x");
  for (const Made& made : mechanisms({.width = 16, .heads = 4})) {
    CAPTURE(made.label);
    int recorded = 0;
    const auto count = [&](const std::string&, const std::string& name, const Tensor& value) {
      if (name != "weights") return;
      ++recorded;
      CHECK(value.shape() == Shape{1, 4, 5, 5});
    };
    const Tensor listened = made.fused->forward(x, x, {.mask = {}, .recorder = count});
    CHECK(recorded == 1);
    CHECK(frobenius_error(listened.values<double>(), made.fused->forward(x, x, {}).values<double>()) < 1e-13);
  }
}
