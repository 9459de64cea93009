// Biases of places: ALiBi, Kerple, FIRE and T5's, by themselves and in attention.
#include <doctest/doctest.h>

#include <set>

#include "attention/biases/t5.h"
#include "attention/kernels/alibi.h"
#include "attention/mechanisms/dot_product.h"
#include "nn/models/encoder_decoder.h"
#include "tests/attention/attention_helpers.h"
#include "tests/golden_file.h"
#include "tests/mechanisms/reference_biases.h"

using namespace tapir;
using Values = std::vector<double>;

namespace {

std::vector<nn::Positions> all_biases() {
  std::vector<nn::Positions> all;
  for (const auto& [positions, name] : nn::all_positions)
    if (nn::is_bias(positions)) all.push_back(positions);
  return all;
}

std::unique_ptr<PositionBias> bias_of(nn::Positions positions, bool causal, int64_t heads = 2, DType type = DType::f64) {
  auto bias = make_position_bias({.width = 8, .heads = heads, .causal = causal, .positions = positions});
  bias->initialise(1, DType::f64);
  spread_parameters(*bias, 1);
  for (const auto& [name, parameter] : parameters_of(*bias))
    parameter->value = requires_grad(parameter->value.detach().to(type));
  return bias;
}

Tensor scores_of(int64_t heads, int64_t queries, int64_t keys, DType type = DType::f64) {
  return Tensor::zeros({1, heads, queries, keys}, type);
}

double value(const Tensor& bias, int64_t h, int64_t t, int64_t s) {
  return bias.detach().contiguous().values<double>()[(h * bias.size(1) + t) * bias.size(2) + s];
}

nn::TransformerOptions options_with(const std::string& positions) {
  nn::TransformerOptions options;
  options.vocabulary = 5;
  options.width = 8;
  options.heads = 2;
  options.layers = 2;
  options.positions = positions;
  return options;
}

}  // namespace

TEST_CASE("biases: each equals scalar loops, from any place on, both ways or causal, in both types") {
  for (const nn::Positions positions : all_biases())
    for (const bool causal : {false, true})
      for (const int64_t offset : {0, 3, 700})
        for (const DType type : {DType::f64, DType::f32}) {
          INFO(std::string(name_of(positions)), causal ? ", causal" : "", ", offset ", offset);
          const int64_t H = 2, T = 5, S = 300;
          const auto bias = bias_of(positions, causal, H, type);
          std::map<std::string, Values> parameters;
          for (const auto& [name, parameter] : parameters_of(*bias))
            parameters[name] = parameter->value.detach().to(DType::f64).values<double>();
          const reference::PlaceBias truth{name_of(positions), parameters, "", H, causal};
          const Tensor y = bias->forward(scores_of(H, T, S, type), offset);
          CHECK(y.shape() == Shape{H, T, S});
          CHECK(y.dtype() == type);
          Values expected;
          for (int64_t h = 0; h < H; ++h)
            for (int64_t t = 0; t < T; ++t)
              for (int64_t s = 0; s < S; ++s) expected.push_back(truth(h, offset + t, s));
          CHECK(frobenius_error(y.detach().to(DType::f64).values<double>(), expected) <= (type == DType::f64 ? 1e-14 : 1e-5));
        }
}

TEST_CASE("biases: values and gradients of every parameter are PyTorch's") {
  const nlohmann::json golden = golden_file("nn.json").at("biases");
  CHECK(golden.size() == 4);
  for (const nlohmann::json& one : golden) {
    const std::string name = one.at("positions");
    CAPTURE(name);
    const nn::Positions positions = name == "fire" ? nn::Positions::fire
                                    : name == "t5" ? nn::Positions::t5
                                                   : nn::Positions::kerple_log;
    const auto bias = bias_of(positions, one.at("causal"));
    const Parameters parameters = parameters_of(*bias);
    CHECK(parameters.size() == one.at("parameters").size());
    std::vector<Tensor> leaves;
    for (const auto& [key, parameter] : parameters)
      leaves.push_back(parameter->value = requires_grad(golden_tensor(one.at("parameters").at(key))));
    const Tensor expected = golden_tensor(one.at("bias"));
    const Tensor y = bias->forward(scores_of(2, expected.size(1), expected.size(2)), one.at("offset"));
    CHECK(frobenius_error(y.values<double>(), expected.values<double>()) <= 1e-14);
    const std::vector<Tensor> found = grad({y}, leaves, {golden_tensor(one.at("upstream"))});
    size_t i = 0;
    for (const auto& named : parameters) {
      const std::string& key = named.first;
      CAPTURE(key);
      CHECK(frobenius_error(found[i++].values<double>(), golden_tensor(one.at("gradients").at(key)).values<double>()) <= 1e-13);
    }
  }
}

TEST_CASE("biases: T5's buckets are one distance each, then ranges up to 128, in both directions where attention looks ahead") {
  for (const bool causal : {true, false}) {
    const int64_t exact = causal ? 16 : 8;
    for (int64_t distance = 0; distance < exact; ++distance) CHECK(t5_bucket(-distance, causal) == distance);
    std::set<int32_t> used;
    for (int64_t ahead = -200; ahead <= 200; ++ahead) used.insert(t5_bucket(ahead, causal));
    CHECK(used.size() == (causal ? 32 : 31));   // both ways: 16 would be 0 places ahead
    for (int64_t distance = 0; distance < 200; ++distance) {
      const int32_t step = t5_bucket(-distance - 1, causal) - t5_bucket(-distance, causal);
      CHECK((step == 0 || step == 1));
      CHECK(t5_bucket(distance + 1, causal) == (causal ? 0 : 16 + t5_bucket(-distance - 1, causal)));
    }
    for (const int64_t distance : {int64_t{127}, int64_t{128}, int64_t{1} << 50})
      CHECK(t5_bucket(-distance, causal) == 2 * exact - 1);
  }
  CHECK(t5_bucket(-16, false) == 10);   // 8 · 16^(2/8)
  CHECK(t5_bucket(-15, false) == 9);
}

TEST_CASE("biases: beyond what was trained they go on as their formulas say") {
  const int64_t far = 100000, S = 64;
  const auto at_far = [&](const PositionBias& bias) { return bias.forward(scores_of(2, 1, S), far); };
  const Tensor t5 = at_far(*bias_of(nn::Positions::t5, true));
  for (int64_t s = 1; s < S; ++s) CHECK(value(t5, 1, 0, s) == value(t5, 1, 0, 0));   // one bucket

  const auto kerple = bias_of(nn::Positions::kerple_log, true);
  const double r1 = std::fabs(parameters_of(*kerple).at("r1")->value.values<double>()[0]);
  const double twice = value(kerple->forward(scores_of(2, 1, 1), 2 * far), 0, 0, 0);
  CHECK(twice - value(at_far(*kerple), 0, 0, 0) == doctest::Approx(-r1 * std::log(2.0)).epsilon(1e-4));   // a logarithm

  // A network that returns its input shows what FIRE asks: shares of what the query can look back.
  const auto fire = bias_of(nn::Positions::fire, true, 1);
  for (const auto& [name, parameter] : parameters_of(*fire)) {
    std::vector<double> set(parameter->shape.elements(), 0.0);
    if (name == "c") set[0] = 0.1;
    else if (name == "threshold" || name == "hidden.weight" || name == "out.weight") set[0] = 1;
    parameter->value = Tensor::from(set, parameter->shape);
  }
  for (const int64_t place : {int64_t{0}, int64_t{100}, int64_t{512}, int64_t{4000}}) {
    const Tensor share = fire->forward(scores_of(1, 1, place + 1), place);
    const double farthest = value(share, 0, 0, 0);
    CHECK(value(share, 0, 0, place) == 0);
    CHECK(farthest <= 1);
    if (place >= 512) CHECK(farthest == doctest::Approx(1).epsilon(1e-6));   // L is 512
    else CHECK(farthest == doctest::Approx(std::log1p(0.1 * static_cast<double>(place)) / std::log1p(51.2)).epsilon(1e-6));
  }
}

TEST_CASE("biases: attention keeps its claims with each, but that tokens could be permuted, and their gradients are right") {
  for (const nn::Positions positions : all_biases()) {
    CAPTURE(std::string(name_of(positions)));
    const Mechanism& row = mechanism("dot_product");
    for (const Proof& proof : prove(row, *row.options(), 1, {.width = 8, .heads = 2, .positions = positions})) {
      CAPTURE(proof.claim);
      CAPTURE(proof.evidence);
      CHECK(proof.holds == (proof.claim != "equivariant"));
    }
  }
}

TEST_CASE("biases: every mechanism that accepts a learned one gives it a gradient, under every mask") {
  const Tensor x = random_normal({2, 6, 8}, 1, "x");
  const std::vector<uint8_t> there{1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0};
  const Mask padded{.causal = false, .offset = 0, .keys = Tensor::from(there, {2, 6})};
  int made = 0;
  for (const Mechanism& row : zoo())
    for (const nn::Positions positions : all_biases()) {
      INFO(row.name, ", ", std::string(name_of(positions)));
      const auto mixer = row.make(*row.options(), {.width = 8, .heads = 2, .positions = positions});
      if (!mixer->accepts(positions)) continue;
      mixer->initialise(1, DType::f64);
      spread_parameters(*mixer, 1);
      std::vector<Tensor> own;
      for (const auto& [name, parameter] : parameters_of(*mixer))
        if (name.starts_with("positions.") && name != "positions.out.bias") own.push_back(parameter->value);   // it cancels
      ++made;
      CHECK(own.empty() == !nn::has_parameters(positions));
      if (own.empty()) continue;
      for (const Mask& mask : {Mask{}, Mask{.causal = true, .offset = 0, .keys = {}}, padded}) {
        const Tensor y = mixer->forward(x, x, call_with(mask));
        for (const Tensor& g : grad({y}, own, {random_normal(y.shape(), 2, "g")})) {
          double largest = 0;
          for (const double one : g.values<double>()) largest = std::max(largest, std::fabs(one));
          CHECK(largest > 1e-9);
          CHECK(std::isfinite(largest));
        }
      }
    }
  CHECK(made >= 8 * 4);
}

TEST_CASE("biases: each layer owns its own, cross-attention has none") {
  const auto maker = [](const MixerShape& shape) { return make_dot_product(shape); };
  nn::TransformerOptions options = options_with("kerple_log");
  nn::EncoderDecoder model(options, options, maker, maker);
  int own = 0;
  for (const auto& [name, parameter] : parameters_of(model)) {
    if (name.find("positions") == std::string::npos) continue;
    ++own;
    CHECK(name.find(".attention.positions.r") != std::string::npos);
    CHECK(parameter->shape == Shape{2});
    CHECK(!nn::decays(parameter->kind));
  }
  CHECK(own == 2 * 2 * 2);   // r₁ and r₂ of two layers of two stacks
}

TEST_CASE("biases: initial values are those of the papers' code") {
  const auto initial = [](nn::Positions positions) {
    auto bias = make_position_bias({.width = 16, .heads = 1000, .causal = true, .positions = positions});
    bias->initialise(5, DType::f64);
    return bias;
  };
  const auto size = [](const Tensor& x) {
    double largest = 0, sum = 0;
    const Values all = x.values<double>();
    for (const double one : all) largest = std::max(largest, std::fabs(one)), sum += std::fabs(one);
    return std::pair{largest, sum / static_cast<double>(all.size())};
  };
  const auto kerple = initial(nn::Positions::kerple_log);
  for (const auto& [name, bound] : {std::pair{"r1", 2.0}, {"r2", 1.0}}) {   // |ρ| is uniform in (0, bound)
    const auto [largest, mean] = size(kerple->parameter_at(name).value);
    CHECK(largest < bound);
    CHECK(largest > 0.98 * bound);
    CHECK(mean == doctest::Approx(bound / 2).epsilon(0.05));
  }
  const auto fire = initial(nn::Positions::fire);
  CHECK(fire->parameter_at("c").value.item() == 0.1);
  CHECK(fire->parameter_at("threshold").value.item() == 1);
  CHECK(size(fire->parameter_at("out.weight").value).first <= 1 / std::sqrt(32.0));
  CHECK(size(initial(nn::Positions::t5)->parameter_at("table.weight").value).second ==
        doctest::Approx(0.25 * std::sqrt(2 / 3.14159265358979)).epsilon(0.02));   // normal, deviation 1/√C
}

TEST_CASE("biases: what cannot have one is refused") {
  const auto model_with = [](const std::string& positions, const std::string& name, const std::string& implementation = "") {
    return message_of([&] {
      nn::LanguageModel(options_with(positions), [&](const MixerShape& shape) {
        const auto options = mechanism(name).options();
        if (auto* staged = dynamic_cast<StagedOptions*>(options.get()); staged && !implementation.empty())
          staged->implementation = implementation;
        return mechanism(name).make(*options, shape);
      });
    });
  };
  for (const std::string positions : {"kerple_log", "fire", "t5"}) {
    for (const std::string name : {"linear", "expressive"})
      CHECK(model_with(positions, name) == "language model: the attention of block 0 does not accept " + positions +
                                               " positions; hint: choose learned, sinusoidal or none");
    for (const std::string name : {"dot_product", "score_mlp", "mlp_qkv"}) {
      CHECK(model_with(positions, name, "naive") == "no error");
      CHECK(model_with(positions, name, "fused") == "attention: fused attention has no bias that is learned, as " + positions +
                                                        " is; hint: choose attention.implementation = \"naive\", or alibi");
    }
  }
  for (const std::string name : {"dot_product", "score_mlp", "mlp_qkv"})
    CHECK(model_with("alibi", name, "fused") == "no error");
  CHECK(message_of([] { make_position_bias({.width = 8, .heads = 2, .positions = nn::Positions::rotary}); }) ==
        "position_bias: there is none for rotary positions");
}
