// Modules, layers and the language model.
#include <doctest/doctest.h>

#include <array>

#include "attention/mechanisms/dot_product.h"
#include "attention/mechanisms/score_mlp.h"
#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "nn/models/transformer.h"
#include "nn/optim/optimiser.h"
#include "nn/train/weights.h"
#include "tests/attention/attention_helpers.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/golden_file.h"
#include "tests/mechanisms/reference_transformer.h"
#include "tests/nn/tiny_model.h"

using namespace tapir;
using reference::Values;

namespace {

nn::TransformerOptions tiny() {
  nn::TransformerOptions options;
  options.vocabulary = 10;
  options.context = 6;
  options.width = 8;
  options.layers = 2;
  options.heads = 2;
  return options;
}

const nn::MixerMaker dot_products = [](const MixerShape& shape) { return make_dot_product(shape); };

std::unique_ptr<nn::LanguageModel> tiny_model(const nn::TransformerOptions& options) {
  auto model = std::make_unique<nn::LanguageModel>(options, dot_products);
  model->initialise(1, DType::f64);
  spread_parameters(*model, 5);
  return model;
}

Tensor tiny_tokens() { return Tensor::from(std::vector<int32_t>{3, 1, 4, 1, 5, 9, 2, 6}, {2, 4}); }

std::vector<std::string> names_of(nn::Module& module) {
  std::vector<std::string> names;
  module.each_parameter([&](const std::string& name, nn::Parameter&) { names.push_back(name); });
  return names;
}

Values flat(nn::Module& module) {
  Values all;
  module.each_parameter([&](const std::string&, nn::Parameter& parameter) {
    const Values values = parameter.value.detach().to(DType::f64).values<double>();
    all.insert(all.end(), values.begin(), values.end());
  });
  return all;
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments_of(const Tensor& x) {
  Moments m;
  const Values values = x.detach().to(DType::f64).values<double>();
  for (const double value : values) m.mean += value / static_cast<double>(values.size());
  for (const double value : values) {
    m.deviation += (value - m.mean) * (value - m.mean) / static_cast<double>(values.size());
    m.largest = std::max(m.largest, std::fabs(value));
  }
  m.deviation = std::sqrt(m.deviation);
  return m;
}

struct TwoLayers : nn::Module {   // in either order of construction
  explicit TwoLayers(bool first_before_second) {
    for (const bool is_first : {first_before_second, !first_before_second})
      child<nn::Linear>(is_first ? "first" : "second", 5, 7, true, nn::Init::normal(1), nn::Init::fan_in(5));
  }
};

struct TwoDropouts : nn::Module {
  Tensor forward(const Tensor& x, const nn::Call& call, bool use_a) const { return (use_a ? a : b).forward(x, call); }
  nn::Dropout &a = child<nn::Dropout>("a", 0.25), &b = child<nn::Dropout>("b", 0.25);
};

nn::Call training(uint64_t seed, uint32_t step) {
  nn::Call call;
  call.training = true;
  call.seed = seed;
  call.step = step;
  return call;
}

}  // namespace

TEST_CASE("nn: parameters of a language model are named, counted and visited in order of registration") {
  const std::unique_ptr<nn::LanguageModel> model = tiny_model(tiny());
  std::vector<std::string> expected{"tokens.weight", "positions.weight", "norm.weight", "norm.bias", "head.weight"};
  for (const std::string block : {"blocks.0.", "blocks.1."})
    for (const char* name :
         {"norm1.weight", "norm1.bias", "attention.query.weight", "attention.key.weight", "attention.value.weight",
          "attention.out.weight", "norm2.weight", "norm2.bias", "mlp.up.weight", "mlp.up.bias", "mlp.down.weight",
          "mlp.down.bias"})
      expected.push_back(block + name);
  CHECK(names_of(*model) == expected);
  // Embeddings (10 + 6) 8, norm 16, head 80; a block: 4 · 64 + 2 · 16 + 8 · 32 + 32 + 32 · 8 + 8
  CHECK(model->parameter_count() == 16 * 8 + 16 + 80 + 2 * 840);
  CHECK(static_cast<int64_t>(flat(*model).size()) == model->parameter_count());
}

TEST_CASE("nn: options change the parameters as they say") {
  nn::TransformerOptions options = tiny();
  options.positions = "sinusoidal";
  options.hidden = 3;
  CHECK(tiny_model(options)->parameter_count() == 10 * 8 + 16 + 80 + 2 * (4 * 64 + 2 * 16 + 8 * 3 + 3 + 3 * 8 + 8));
  ScoreMlpOptions score = score_mlp_options("released", 2);
  const auto count = [](const ScoreMlpOptions& o) {
    const auto mixer = [&](const MixerShape& shape) { return make_score_mlp(o, shape); };
    return nn::LanguageModel(tiny(), mixer).parameter_count();
  };
  // Block 0 alone, head width 4, d' = 2: 2 (4·2 + 2) + (4·2 + 2) + (2·1 + 1) + (1 + 1)
  CHECK(count(score) == 16 * 8 + 16 + 80 + 2 * 840 + 35);
  score.layers = "all";
  CHECK(count(score) == 16 * 8 + 16 + 80 + 2 * (840 + 35));
}

TEST_CASE("nn: biases, heads of a width of their own and a tied head change names and shapes as they say") {
  const nn::TransformerOptions options = with_other_parts(tiny());
  const std::unique_ptr<nn::LanguageModel> model = tiny_model(options);
  std::vector<std::string> expected{"tokens.weight", "positions.weight", "norm.weight", "head.bias"};
  for (const std::string block : {"blocks.0.", "blocks.1."})
    for (const char* name :
         {"norm1.weight", "attention.query.weight", "attention.query.bias", "attention.key.weight", "attention.key.bias",
          "attention.value.weight", "attention.value.bias", "attention.out.weight", "attention.out.bias", "norm2.weight",
          "mlp.up.weight", "mlp.down.weight"})
      expected.push_back(block + name);
  CHECK(names_of(*model) == expected);
  // Embeddings (10 + 6) 8, norm 8, head's bias 10; a block: 3 (8 · 12 + 12) + 12 · 8 + 8 + 2 · 8 + 2 · 8 · 32
  CHECK(model->parameter_count() == 16 * 8 + 8 + 10 + 2 * (3 * (8 * 12 + 12) + 12 * 8 + 8 + 2 * 8 + 2 * 8 * 32));

  nn::TransformerOptions plain = tiny();   // each by itself
  const int64_t all = tiny_model(plain)->parameter_count();
  const auto more_with = [&](const auto& change) {
    nn::TransformerOptions changed = tiny();
    change(changed);
    return tiny_model(changed)->parameter_count() - all;
  };
  CHECK(more_with([](auto& o) { o.head_width = 4; }) == 0);   // 8 / 2
  CHECK(more_with([](auto& o) { o.head_width = 5; }) == 2 * 4 * 8 * 2);
  CHECK(more_with([](auto& o) { o.bias = false; }) == -(8 + 2 * (2 * 8 + 32 + 8)));
  CHECK(more_with([](auto& o) { o.attention_bias = true; }) == 2 * 4 * 8);
  CHECK(more_with([](auto& o) { o.head_bias = true; }) == 10);
  CHECK(more_with([](auto& o) { o.tied_head = true; }) == -80);
}

TEST_CASE("nn: a tied head is the table of token vectors, one parameter that both train and that decays") {
  nn::TransformerOptions options = tiny();
  options.tied_head = true;
  const std::unique_ptr<nn::LanguageModel> tied = tiny_model(options), apart = tiny_model(tiny());
  Parameters own = parameters_of(*tied);
  const Parameters other = parameters_of(*apart);
  for (const auto& [name, parameter] : own) other.at(name)->value = requires_grad(parameter->value.detach());
  other.at("head.weight")->value = requires_grad(own.at("tokens.weight")->value.detach());
  const Tensor targets = Tensor::from(std::vector<int32_t>{1, 4, 1, -1, 9, 2, 6, 0}, {2, 4});
  const auto gradient = [&](nn::LanguageModel& model, const std::string& name) {
    const Tensor loss = cross_entropy(model.forward(tiny_tokens(), {}), targets);
    return grad({loss}, {model.parameter_at(name).value})[0].values<double>();
  };
  CHECK(tied->forward(tiny_tokens(), {}).values<double>() == apart->forward(tiny_tokens(), {}).values<double>());
  Values sum = gradient(*apart, "tokens.weight");
  const Values of_head = gradient(*apart, "head.weight");
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += of_head[i];
  CHECK(frobenius_error(gradient(*tied, "tokens.weight"), sum) <= 1e-14);

  CHECK(nn::decays(own.at("tokens.weight")->kind));
  CHECK(!nn::decays(other.at("tokens.weight")->kind));
  nn::AdamW optimiser(*tied, {});
  int64_t slots = 0;
  for (const auto& [name, state] : optimiser.state()) slots += name.starts_with("tokens.weight") || name.starts_with("head");
  CHECK(slots == 2);   // m and v of one
  tied->initialise(2, DType::f64);   // another value of the same parameter
  own.at("tokens.weight")->value = requires_grad(Tensor::zeros({10, 8}, DType::f64));
  for (const double logit : tied->forward(tiny_tokens(), {}).values<double>()) CHECK(logit == 0);
}

TEST_CASE("nn: weights of a tied head are in a file once, and those of another kind of head are refused") {
  const testing::TemporaryFolder folder;
  nn::TransformerOptions options = tiny();
  const std::unique_ptr<nn::LanguageModel> apart = tiny_model(options);
  options.tied_head = true;
  const std::unique_ptr<nn::LanguageModel> tied = tiny_model(options);
  const std::string one = (folder.path() / "tied.safetensors").string(), two = (folder.path() / "apart.safetensors").string();
  save_weights(one, *tied);
  save_weights(two, *apart);
  std::vector<std::string> names;
  for (const NamedTensor& tensor : load_safetensors(one).tensors()) names.push_back(tensor.name);
  CHECK(std::count(names.begin(), names.end(), "tokens.weight") == 1);
  CHECK(std::count(names.begin(), names.end(), "head.weight") == 0);
  const std::unique_ptr<nn::LanguageModel> again = tiny_model(options);
  again->initialise(9, DType::f64);
  load_weights(one, *again);
  CHECK(flat(*again) == flat(*tied));
  CHECK(again->forward(tiny_tokens(), {}).values<double>() == tied->forward(tiny_tokens(), {}).values<double>());
  const std::string hint = "; hint: the file belongs to a model with other options";
  CHECK(message_of([&] { load_weights(two, *tied); }) ==
        two + ": 'head.weight' is left over: the model has no such tensor" + hint);
  CHECK(message_of([&] { load_weights(one, *apart); }) ==
        one + ": there is no 'head.weight', which the model needs" + hint);
}

TEST_CASE("nn: the score network of the released code has as many parameters as its paper's code (golden 1.1.2)") {
  // f(D,d') = 2 (D d' + d') + (2d'·d' + d') + (d'·⌊d'/2⌋ + ⌊d'/2⌋) + (⌊d'/2⌋ + 1), d' = D/32
  const auto added = [](int64_t head_width, int64_t reduced) {
    const MixerShape shape{.width = 2 * head_width, .heads = 2};
    const int64_t all = make_score_mlp(score_mlp_options("released", reduced), shape)->parameter_count();
    return all - make_dot_product(shape)->parameter_count();
  };
  CHECK(added(64, 0) == 275);
  CHECK(added(96, 0) == 609);
  const std::pair<int64_t, int64_t> table[] = {{2, 275}, {4, 569}, {8, 1217}, {16, 2753}, {32, 6785}, {64, 18689}};
  for (const auto& [reduced, parameters] : table) CHECK(added(64, reduced) == parameters);
  CHECK(added(96, 3) == 609);
}

TEST_CASE("nn: initial values depend on seed, name and element alone") {
  TwoLayers one(true), other(false);
  one.initialise(7, DType::f64);
  other.initialise(7, DType::f64);
  CHECK(names_of(one) != names_of(other));
  const Parameters a = parameters_of(one), b = parameters_of(other);
  for (const auto& [name, parameter] : a) CHECK(parameter->value.values<double>() == b.at(name)->value.values<double>());
  CHECK(a.at("first.weight")->value.values<double>() != a.at("second.weight")->value.values<double>());
  const Values before = flat(one);
  one.initialise(8, DType::f64);
  CHECK(flat(one) != before);
  one.initialise(7, DType::f32);
  const Values narrow = flat(one);
  for (size_t i = 0; i < narrow.size(); ++i) CHECK(narrow[i] == static_cast<double>(static_cast<float>(before[i])));
}

TEST_CASE("nn: initial values have the moments of their rules, and are leaves") {
  nn::TransformerOptions options = tiny();
  options.vocabulary = 2000;
  options.width = 64;
  nn::LanguageModel model(options, dot_products);
  model.initialise(3);
  const Parameters parameters = parameters_of(model);
  for (const char* name : {"tokens.weight", "head.weight", "blocks.1.attention.query.weight", "blocks.0.mlp.up.weight"}) {
    CAPTURE(name);
    const Tensor& value = parameters.at(name)->value;
    const Moments m = moments_of(value);
    const double n = static_cast<double>(value.elements());
    CHECK(std::fabs(m.mean) < 4 * 0.02 / std::sqrt(n));
    CHECK(std::fabs(m.deviation / 0.02 - 1) < 4 / std::sqrt(2 * n));
    CHECK(value.dtype() == DType::f32);
    CHECK(value.node != nullptr);
  }
  for (const double gain : parameters.at("blocks.0.norm1.weight")->value.detach().to(DType::f64).values<double>())
    CHECK(gain == 1);
  for (const double bias : parameters.at("blocks.0.mlp.up.bias")->value.detach().to(DType::f64).values<double>())
    CHECK(bias == 0);
  nn::Linear layer(100, 400, true, nn::Init::fan_in(100), nn::Init::fan_in(100));
  layer.initialise(1);
  const Moments uniform = moments_of(layer.weight.value);
  CHECK(uniform.largest <= 0.1);
  CHECK(uniform.largest > 0.0999);
  CHECK(uniform.deviation == doctest::Approx(0.1 / std::sqrt(3.0)).epsilon(0.01));
}

TEST_CASE("nn: a language model equals scalar loops, with every norm, positions, activation, heads, biases and head") {
  struct Variant {
    std::string norm, norm_kind, positions, activation;
    int64_t key_heads;
    nn::TransformerOptions options = tiny();
  };
  for (const Variant& variant : {Variant{"pre", "layer", "learned", "gelu", 0}, {"post", "layer", "sinusoidal", "relu", 0},
                                 {"pre", "rms", "sinusoidal", "relu", 1}, {"post", "rms", "learned", "gelu", 2},
                                 {"pre", "rms", "rotary", "gelu", 1}, {"post", "layer", "rotary", "relu", 0},
                                 {"pre", "layer", "alibi", "gelu", 1}, {"pre", "layer", "none", "gelu", 0},
                                 {"pre", "rms", "kerple_log", "gelu", 0}, {"post", "layer", "fire", "gelu", 1},
                                 {"pre", "layer", "t5", "relu", 0},
                                 {"pre", "layer", "learned", "gelu", 0, with_other_parts(tiny())},
                                 {"post", "rms", "rotary", "relu", 1, with_other_parts(tiny())}}) {
    CAPTURE(variant.norm);
    CAPTURE(variant.norm_kind);
    CAPTURE(variant.positions);
    nn::TransformerOptions options = variant.options;
    options.norm = variant.norm;
    options.norm_kind = variant.norm_kind;
    options.positions = variant.positions;
    options.activation = variant.activation;
    options.key_heads = variant.key_heads;
    const std::unique_ptr<nn::LanguageModel> model = tiny_model(options);
    reference::Transformer scalar{{}, 8, 2, 2, variant.norm == "pre", variant.positions, variant.activation == "relu",
                                  variant.norm_kind == "rms", variant.key_heads, options.head_width};
    for (const auto& [name, parameter] : parameters_of(*model)) scalar.parameters[name] = parameter->value.values<double>();
    const Tensor logits = model->forward(tiny_tokens(), {});
    CHECK(logits.shape() == Shape{2, 4, 10});
    Values expected;
    for (const std::vector<int32_t>& row : {std::vector<int32_t>{3, 1, 4, 1}, std::vector<int32_t>{5, 9, 2, 6}}) {
      const Values y = scalar.logits(row);
      expected.insert(expected.end(), y.begin(), y.end());
    }
    CHECK(frobenius_error(logits.values<double>(), expected) <= 1e-12);
  }
}

TEST_CASE("nn: RMS norm equals PyTorch's, and no other norm exists") {
  const nlohmann::json golden = golden_file("nn.json").at("rms_norm");
  nn::RmsNorm norm(5);
  norm.initialise(1, DType::f64);
  norm.weight.value = golden_tensor(golden.at("weight"));
  const Tensor x = golden_tensor(golden.at("x"));
  CHECK(frobenius_error(norm.forward(x).values<double>(), golden_tensor(golden.at("y")).values<double>()) <= 1e-15);
  CHECK(message_of([] { nn::make_norm("batch", 4); }) == "norm: there is no norm 'batch'; those that exist: layer, rms");
}

TEST_CASE("nn: the tanh form of GELU is another function, near the exact one") {
  nn::TransformerOptions options = tiny();
  const Values exact = tiny_model(options)->forward(tiny_tokens(), {}).values<double>();
  options.activation = "gelu_tanh";
  const double difference = frobenius_error(tiny_model(options)->forward(tiny_tokens(), {}).values<double>(), exact);
  CHECK(difference > 1e-7);
  CHECK(difference < 1e-2);
}

TEST_CASE("nn: the loss of a language model has the right gradient through every parameter") {
  nn::TransformerOptions post = tiny();
  post.norm = "post";
  for (const nn::TransformerOptions& options : {tiny(), post, with_other_parts(tiny())}) {
    const std::unique_ptr<nn::LanguageModel> model = tiny_model(options);
    const Tensor targets = Tensor::from(std::vector<int32_t>{1, 4, 1, -1, 9, 2, 6, 0}, {2, 4});
    std::vector<Tensor> values;
    model->each_parameter([&](const std::string&, nn::Parameter& parameter) { values.push_back(parameter.value); });
    const Function loss = [&](const std::vector<Tensor>& in) {
      size_t i = 0;
      model->each_parameter([&](const std::string&, nn::Parameter& parameter) { parameter.value = in[i++]; });
      return cross_entropy(model->forward(tiny_tokens(), {}), targets);
    };
    const GradcheckResult result = gradcheck("language model", loss, values, {.step = 1e-4, .directions = 4});
    CHECK_MESSAGE(result.passed, result.report);
  }
}

TEST_CASE("nn: a language model is causal without being told") {
  const std::unique_ptr<nn::LanguageModel> model = tiny_model(tiny());
  const Values y = slice(model->forward(tiny_tokens(), {}), 1, 0, 3).values<double>();
  const Tensor changed = Tensor::from(std::vector<int32_t>{3, 1, 4, 7, 5, 9, 2, 0}, {2, 4});
  CHECK(slice(model->forward(changed, {}), 1, 0, 3).values<double>() == y);
}

TEST_CASE("nn: dropout keeps the promised share, scaled, and is off in evaluation") {
  const TwoDropouts module;
  const Tensor x = Tensor::full({40000}, 3, DType::f64);
  const Values y = module.forward(x, training(1, 1), true).values<double>();
  int64_t kept = 0;
  for (const double value : y) {
    CHECK((value == 0 || value == doctest::Approx(4).epsilon(1e-14)));
    kept += value != 0;
  }
  CHECK(std::fabs(static_cast<double>(kept) - 30000) < 4 * std::sqrt(40000 * 0.25 * 0.75));
  CHECK(module.forward(x, {}, true).values<double>() == x.values<double>());
}

TEST_CASE("nn: the mask of dropout is a function of seed, step and module path") {
  const TwoDropouts module;
  const Tensor x = Tensor::full({1000}, 1, DType::f64);
  const auto mask = [&](uint64_t seed, uint32_t step, bool use_a, const char* path = "model") {
    const Scope scope(path);
    return module.forward(x, training(seed, step), use_a).values<double>();
  };
  const Values y = mask(1, 1, true);
  CHECK(mask(1, 1, true) == y);
  CHECK(mask(2, 1, true) != y);
  CHECK(mask(1, 2, true) != y);
  CHECK(mask(1, 1, false) != y);
  CHECK(mask(1, 1, true, "other") != y);
}

TEST_CASE("nn: a language model drops values in training alone, and the same ones at the same step") {
  nn::TransformerOptions options = tiny();
  options.dropout = 0.5;
  const std::unique_ptr<nn::LanguageModel> model = tiny_model(options), without = tiny_model(tiny());
  const auto run = [&](const nn::Call& call) { return model->forward(tiny_tokens(), call).values<double>(); };
  CHECK(run({}) == without->forward(tiny_tokens(), {}).values<double>());
  CHECK(run(training(1, 1)) != run({}));
  CHECK(run(training(1, 1)) == run(training(1, 1)));
  CHECK(run(training(1, 1)) != run(training(1, 2)));
}

TEST_CASE("nn: weights of attention are recorded under the path of their block") {
  const std::unique_ptr<nn::LanguageModel> model = tiny_model(tiny());
  std::vector<std::string> seen;
  nn::Call call;
  call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
    seen.push_back(path + " " + name + text(value.shape()));
    CHECK(value.node == nullptr);
  };
  model->forward(tiny_tokens(), call);
  CHECK(seen == std::vector<std::string>{"blocks.0.attention weights[2,2,4,4]", "blocks.1.attention weights[2,2,4,4]"});
}

TEST_CASE("nn: wrong sizes are errors that say what was expected and found") {
  const auto model = tiny_model(tiny());
  const auto says = [](const std::function<void()>& call, std::vector<std::string> words) {
    const std::string message = message_of(call);
    CAPTURE(message);
    for (const std::string& word : words) CHECK(contains_text(message, word));
  };
  says([&] { model->forward(Tensor::zeros({1, 7}, DType::i32), {}); }, {"language model: ", "(B,T) with T ≤ 6", "[1,7]"});
  says([&] { model->forward(Tensor::zeros({4}, DType::i32), {}); }, {"language model: ", "[4]"});
  says([&] { model->forward(Tensor::full({1, 2}, 10, DType::i32), {}); }, {"embedding: index 10", "0 … 9", "in tokens"});
  says([&] { model->forward(Tensor::zeros({1, 2}), {}); }, {"embedding: indices must be i32, got f32"});
  nn::TransformerOptions options = tiny();
  options.width = 9;
  says([&] { tiny_model(options); }, {"language model: the width 9 is not a multiple of the 2 heads; hint: or set head_width"});
  says([] { make_dot_product({.width = 9, .heads = 2}); },
       {"attention: the width 9 is not a multiple of the 2 heads; hint: or choose a head width"});
  options.head_width = 4;
  says([&] { tiny_model(options); }, {"no error"});
  says([] { make_dot_product({.width = 8, .heads = 0}); }, {"attention: ", "0 heads"});
  says([] { make_score_mlp({}, {.width = 9, .heads = 2}); }, {"attention: the width 9"});
  const auto mixer = make_dot_product({.width = 8, .heads = 2});
  mixer->initialise(1);
  says([&] { mixer->forward(Tensor::zeros({2, 3, 7}), Tensor::zeros({2, 3, 7}), {}); },
       {"attention: ", "(B,T,8)", "[2,3,7]"});
  for (const double p : {1.0, -0.1})
    says([&] { nn::Dropout dropout(p); }, {"dropout: p must be in [0, 1), got ", text(p)});
}
