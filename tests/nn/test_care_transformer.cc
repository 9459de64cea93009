// CARE Transformer: blocks give PyTorch's values (tests/golden/care.py); counts of parameters and operations, the
// shortcut, the memory and the extents of maps (specification 2.2.8, items 4 to 7); the core among its pixels; gradients;
// what is refused.
#include "nn/models/care_transformer.h"

#include <doctest/doctest.h>

#include "attention/mechanisms/care.h"
#include "attention/zoo.h"
#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "nn/optim/optimiser.h"
#include "tensor/dry_run.h"
#include "tests/attention/attention_helpers.h"
#include "tests/golden_file.h"

using namespace tapir;
using nn::CareBlock;
using nn::CareTransformer;
using nn::CareTransformerOptions;
using nlohmann::json;

namespace {

std::unique_ptr<nn::TokenMixer> core(const MixerShape& shape) {   // the paper's attention
  CareOptions options;
  options.projections = "query_key";
  return make_care(options, shape);
}

nn::Call training_with(nn::Effects& effects) {
  nn::Call call;
  call.training = true;
  call.effects = &effects;
  return call;
}

double distance_of(const Tensor& x, const Tensor& y) { return frobenius_error(x.values<double>(), y.values<double>()); }

CareTransformerOptions small() {
  CareTransformerOptions options;
  options.patch = 1;
  options.depths = {1, 1, 1, 2};
  options.memory = {2, 2, 4, 4};
  options.head_widths = {2, 4};
  options.inner_factors = {1, 2, 1, 2};
  options.outer_factors = {1, 2, 2, 1};
  return options;
}

constexpr nn::ImageShape image{.height = 8, .width = 16, .channels = 3};

std::unique_ptr<CareTransformer> made(const CareTransformerOptions& options, const nn::ImageShape& of = image) {
  auto model = std::make_unique<CareTransformer>(options, of, 5, core);
  model->initialise(1, DType::f64);
  return model;
}

struct NamedModel {
  const char* name;
  CareTransformerOptions options;
  int64_t parameters, with_one_classifier;
  double multiplications;   // of an image of 224 × 224 pixels, in 10⁹ and to one digit
};

std::vector<NamedModel> published() {
  CareTransformerOptions s0, s1, s2;
  s1.depths = s2.depths = {3, 6, 10, 6};
  s1.outer_factors = s2.outer_factors = s2.inner_factors = {4, 4, 4, 4};
  s2.memory = {8, 16, 48, 96};
  return {{"S0", s0, 7'340'000, 6'312'952, 0.7},
          {"S1", s1, 9'602'424, 8'575'376, 1.0},
          {"S2", s2, 19'481'288, 17'941'216, 1.9}};
}

}  // namespace

TEST_CASE("care transformer: blocks give PyTorch's outputs, running statistics and gradients") {
  const json golden = golden_file("care.json");
  const int64_t m = golden.at("memory"), head = golden.at("head"), inner = golden.at("inner"), outer = golden.at("outer");
  CareTransformerOptions options;
  options.memory = {m, m, m, m};
  options.inner_factors = {inner, inner, inner, inner};
  options.outer_factors = {outer, outer, outer, outer};
  const std::map<std::string, nn::CarePlace> places{{"convolutions", {0, 0, 3}}, {"attention", {2, 1, 3}}, {"last", {3, 2, 3}}};
  REQUIRE(golden.at("cases").size() == places.size());
  for (const json& one : golden.at("cases")) {
    const std::string kind = one.at("kind");
    CAPTURE(kind);
    CareBlock block(options, places.at(kind),
                    kind == "convolutions" ? nullptr : core({.width = m, .heads = m / head, .biases = true}));
    block.initialise(1, DType::f64);
    const Parameters parameters = parameters_of(block);
    REQUIRE(parameters.size() == one.at("parameters").size());
    for (const auto& [name, parameter] : parameters)
      parameter->value = requires_grad(golden_tensor(one.at("parameters").at(name)));
    const Tensor x = requires_grad(golden_tensor(one.at("x")));
    nn::Effects effects;
    const Tensor y = block.forward(x, training_with(effects));
    CHECK(distance_of(y, golden_tensor(one.at("y"))) <= 1e-12);
    backward(sum(mul(y, golden_tensor(one.at("upstream")))));
    CHECK(distance_of(gradient(x), golden_tensor(one.at("gradients").at("x"))) <= 1e-11);
    for (const auto& named : parameters) {
      CAPTURE(named.first);
      const Tensor expected = golden_tensor(one.at("gradients").at(named.first));
      CHECK(named.second->shape == expected.shape());
      CHECK(distance_of(gradient(named.second->value), expected) <= 1e-11);
    }
    effects.commit();
    block.each_buffer([&](const std::string& name, const nn::Buffer& buffer) {
      CHECK(distance_of(buffer.value, golden_tensor(one.at("statistics").at(name))) <= 1e-13);
    });
    CHECK(distance_of(block.forward(x, {}), golden_tensor(one.at("evaluated"))) <= 1e-12);
  }
}

TEST_CASE("care transformer: the published models have their numbers of parameters (property 4; golden 2.2.2)") {
  for (NamedModel& one : published()) {
    CAPTURE(one.name);
    CHECK(CareTransformer(one.options, {.height = 224, .width = 224}, 1000, core).parameter_count() == one.parameters);
    one.options.classifiers = 1;
    CHECK(CareTransformer(one.options, {.height = 224, .width = 224}, 1000, core).parameter_count() == one.with_one_classifier);
  }
}

TEST_CASE("care transformer: the published models cost as many multiplications as their authors say (golden 2.2.7)") {
  for (const NamedModel& one : published()) {
    CAPTURE(one.name);
    CareTransformer model(one.options, {.height = 224, .width = 224}, 1000, core);
    const DryRun dry;
    model.initialise(1, DType::f32);
    model.forward(Tensor::zeros({1, 224, 224, 3}), {});
    double operations = 0;
    for (const auto& own : dry.operations()) operations += static_cast<double>(own.second);
    CHECK(std::abs(operations / 2e9 - one.multiplications) <= 0.05);
  }
}

TEST_CASE("care transformer: with γ = 0 a block that is not the last one returns what it gets (property 5)") {
  const auto model = made(small());
  std::vector<std::string> seen;
  std::vector<nn::ForwardHandle> handles;
  for (const char* path : {"stages.0.0", "stages.1.0", "stages.2.0", "stages.3.0"}) {
    model->parameter_at(text(path, ".branch.scale")).value = Tensor::zeros({4 * small().memory[path[7] - '0']}, DType::f64);
    handles.push_back(model->at(path).on_forward([&seen, path](const std::vector<Tensor>& inputs, const Tensor& y) {
      seen.emplace_back(path);
      CHECK(y.values<double>() == inputs[0].values<double>());
      return Tensor();
    }));
  }
  model->forward(random_normal({2, 8, 16, 3}, 1, "pixels"), {});
  CHECK(seen.size() == 4);
  CHECK(!parameters_of(*model).contains("stages.3.1.branch.scale"));   // of the last block
}

TEST_CASE("care transformer: the memory reaches the second interaction as it was (property 6)") {
  const auto model = made(small());
  spread_parameters(*model, 1);
  const Tensor x = random_normal({2, 3, 2, 8}, 1, "x");   // stage 0, m = 2
  int heard = 0;
  const auto handle =
      model->at("stages.0.0.outer").on_forward([&](const std::vector<Tensor>& inputs, const Tensor&) {
        ++heard;
        CHECK(slice(inputs[0], 3, 0, 2).values<double>() == slice(x, 3, 0, 2).values<double>());
        CHECK(distance_of(slice(inputs[0], 3, 2, 6), slice(x, 3, 2, 6)) > 0.1);
        return Tensor();
      });
  dynamic_cast<const CareBlock&>(model->at("stages.0.0")).forward(x, {});
  CHECK(heard == 1);
}

TEST_CASE("care transformer: 224 × 224 pixels become maps of 56, 28, 14 and 7, their channels those of the table (property 7)") {
  CareTransformerOptions options;
  options.depths = {1, 1, 1, 1};
  std::vector<MixerShape> told;
  CareTransformer model(options, {.height = 224, .width = 224}, 10, [&](const MixerShape& shape) {
    told.push_back(shape);
    return core(shape);
  });
  model.initialise(1, DType::f32);
  std::vector<Shape> maps;
  std::vector<nn::ForwardHandle> handles;
  for (int64_t stage = 0; stage < 4; ++stage)
    handles.push_back(model.at(text("stages.", stage, ".0")).on_forward([&](const std::vector<Tensor>& inputs, const auto& y) {
      maps.push_back(inputs[0].shape());
      if (maps.size() == 4) maps.push_back(y.shape());
      return Tensor();
    }));
  CHECK(model.forward(Tensor::zeros({1, 224, 224, 3}), {}).shape() == Shape{1, 10});
  CHECK(maps == std::vector<Shape>{{1, 56, 56, 32}, {1, 28, 28, 64}, {1, 14, 14, 128}, {1, 7, 7, 256}, {1, 7, 7, 1024}});
  REQUIRE(told.size() == 2);   // mixers of the third and fourth stage
  for (size_t k = 0; k < 2; ++k) {
    CHECK(told[k].width == 32 << k);
    CHECK(told[k].heads == 2);
    CHECK(told[k].biases);
    CHECK(told[k].layer == static_cast<int64_t>(k));
    CHECK(told[k].layers == 2);
    CHECK(told[k].places.kind == nn::Places::Kind::grid);
    CHECK((told[k].places.rows == 14 >> k && told[k].places.columns == 14 >> k));
  }
}

TEST_CASE("care transformer: logits are the mean of its classifiers'") {
  const auto two = made(small());
  CareTransformerOptions options = small();
  options.classifiers = 1;
  const auto one = made(options);
  const Tensor pixels = random_normal({2, 8, 16, 3}, 1, "pixels");
  Tensor read;
  std::vector<Tensor> logits;
  std::vector<nn::ForwardHandle> handles;
  for (const char* path : {"classifiers.0.linear", "classifiers.1.linear"})
    handles.push_back(two->at(path).on_forward([&](const std::vector<Tensor>&, const Tensor& y) {
      logits.push_back(y);
      return Tensor();
    }));
  const Tensor y = two->forward(pixels, {});
  REQUIRE(logits.size() == 2);
  CHECK(distance_of(y, affine(add(logits[0], logits[1]), 0.5, 0)) <= 1e-15);
  CHECK(distance_of(one->forward(pixels, {}), logits[0]) <= 1e-15);   // values of a parameter depend on its name alone
  CHECK(distance_of(logits[0], logits[1]) > 0.1);
}

TEST_CASE("care transformer: weights begin as normal numbers of deviation 0.02 cut at 2 deviations, biases at 0, γ at 10⁻⁶") {
  const auto model = made(CareTransformerOptions(), {.height = 32, .width = 32});
  model->each_parameter([&](const std::string& name, const nn::Parameter& parameter) {
    CAPTURE(name);
    const std::vector<double> values = parameter.value.values<double>();
    const auto all_are = [&](double expected) {
      return std::all_of(values.begin(), values.end(), [=](double value) { return value == expected; });
    };
    if (name.ends_with("bias")) CHECK(all_are(0));
    else if (name.ends_with("scale")) CHECK(all_are(1e-6));
    else if (name.find("norm") != std::string::npos) CHECK(all_are(1));
    else if (name.find("attention") == std::string::npos)   // a mixer begins as it does anywhere
      CHECK((max(abs(parameter.value)).item() <= 0.04 && !all_are(0)));
  });
}

TEST_CASE("care transformer: permuted pixels permute what attention gives, not what a block gives (property 3)") {
  CareBlock block(small(), {2, 0, 3}, core({.width = 4, .heads = 2, .biases = true}));
  block.initialise(1, DType::f64);
  spread_parameters(block, 1);
  auto& mixer = dynamic_cast<nn::TokenMixer&>(block.at("attention"));
  const Tensor x = random_normal({1, 3, 4, 16}, 1, "x"), tokens = reshape(slice(x, 3, 4, 4), {1, 12, 4});
  const Tensor turned = flip(tokens, 1);
  CHECK(distance_of(mixer.forward(turned, turned, {}), flip(mixer.forward(tokens, tokens, {}), 1)) <= 1e-14);
  const auto flipped = [](const Tensor& map) { return flip(flip(map, 1), 2); };
  CHECK(distance_of(block.forward(flipped(x), {}), flipped(block.forward(x, {}))) > 1e-2);
}

TEST_CASE("care transformer: gradients of blocks in training, γ not small") {
  for (const int64_t stage : {1, 2}) {
    CAPTURE(stage);
    CareBlock block(small(), {stage, 0, 3}, stage == 1 ? nullptr : core({.width = 4, .heads = 2, .biases = true}));
    block.initialise(1, DType::f64);
    spread_parameters(block, 1);
    const Parameters parameters = parameters_of(block);
    std::vector<Tensor> leaves{random_normal({2, 2, 3, 4 * small().memory[stage]}, 1, "x")};
    for (const auto& [name, parameter] : parameters) leaves.push_back(parameter->value.detach());
    const Function f = [&](const std::vector<Tensor>& in) {
      size_t k = 1;
      for (const auto& one : parameters) one.second->value = in[k++];
      nn::Effects effects;
      return block.forward(in[0], training_with(effects));
    };
    const GradcheckResult result = gradcheck("block", f, leaves);
    CHECK_MESSAGE(result.passed, result.report);
  }
}

TEST_CASE("care transformer: any mechanism that needs no causal mask mixes its pixels") {
  const Tensor pixels = random_normal({2, 8, 16, 3}, 1, "pixels");
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const std::unique_ptr<nn::Options> own = row.options();
    const auto maker = [&](const MixerShape& shape) { return row.make(*own, shape); };
    if (row.name == "associative" || row.name == "attention_sh") {   // heads are two, then one
      CHECK(message_of([&] { CareTransformer(small(), image, 5, maker); }) ==
            (row.name == "associative" ? "care transformer: the attention of block 0 has a layer behind the feed-forward ones, where "
                                         "this model has no place"
                                       : "care transformer: the attention of block 1 needs at least 2 heads, got 1"));
      continue;
    }
    CareTransformer model(small(), image, 5, maker);
    model.initialise(1, DType::f64);
    CHECK(model.forward(pixels, {}).shape() == Shape{2, 5});
  }
}

TEST_CASE("care transformer: it learns pictures of noise by heart") {
  CareTransformerOptions options = small();
  options.layer_scale = 1;
  CareTransformer model(options, image, 5, core);
  model.initialise(1);
  nn::AdamW optimiser(model, {});
  const Tensor pixels = random_normal({10, 8, 16, 3}, 1, "pixels").to(DType::f32);
  const Tensor labels = Tensor::from(std::vector<int32_t>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4}, {10});
  const auto loss_of = [&](const nn::Call& call) { return cross_entropy(model.forward(pixels, call), labels); };
  for (int step = 0; step < 60; ++step) {
    nn::Effects effects;
    const Tensor loss = loss_of(training_with(effects));
    if (step == 0) CHECK(loss.item() / 10 == doctest::Approx(std::log(5.0)).epsilon(0.05));
    optimiser.clear_gradients();
    backward(loss);
    optimiser.step(1e-2, 0.1);
    effects.commit();
  }
  nn::Effects effects;
  CHECK(loss_of(training_with(effects)).item() / 10 < 0.05);
}

TEST_CASE("care transformer: samples skip blocks in training") {
  CareTransformerOptions options = small();
  options.drop_path = 0.9;
  options.layer_scale = 1;
  const auto model = made(options), steady = [&] {
    options.drop_path = 0;
    return made(options);
  }();
  const Tensor pixels = random_normal({4, 8, 16, 3}, 1, "pixels");
  nn::Effects effects, other_effects;
  CHECK(distance_of(model->forward(pixels, {}), steady->forward(pixels, {})) == 0);
  const Tensor skipped = model->forward(pixels, training_with(effects));
  CHECK(distance_of(skipped, steady->forward(pixels, training_with(other_effects))) > 1e-3);
}

TEST_CASE("care transformer: what does not fit is refused in one line") {
  const auto refused = [](const auto& change, const nn::ImageShape& of = image) {
    return message_of([&] {
      CareTransformerOptions options = small();
      change(options);
      made(options, of);
    });
  };
  CHECK(refused([](auto&) {}) == "no error");
  CHECK(refused([](auto& o) { o.depths = {1, 2}; }) == "care transformer: depths must be 4 numbers, got 2");
  CHECK(refused([](auto& o) { o.memory = {4}; }) == "care transformer: memory must be 4 numbers, got 1");
  CHECK(refused([](auto& o) { o.inner_factors = {1, 1, 1}; }) == "care transformer: inner_factors must be 4 numbers, got 3");
  CHECK(refused([](auto& o) { o.outer_factors = {1, 1, 1}; }) == "care transformer: outer_factors must be 4 numbers, got 3");
  CHECK(refused([](auto& o) { o.head_widths = {2}; }) == "care transformer: head_widths must be 2 numbers, got 1");
  CHECK(refused([](auto& o) { o.head_widths = {2, 3}; }) ==
        "care transformer: heads of 3 channels do not divide a memory of 4");
  CHECK(refused([](auto& o) { o.classifiers = 3; }) == "care transformer: classifiers must be in 1 … 2, got 3");
  CHECK(refused([](auto&) {}, {.height = 12, .width = 16}) ==
        "care transformer: images of 12 × 16 are not tiled by squares of 8 pixels, the cells of the last stage; hint: choose "
        "another model.patch, or another size of the images");
  CHECK(message_of([] { made(small())->forward(Tensor::zeros({2, 8, 8, 3}, DType::f64), {}); }) ==
        "care transformer: pixels must be (B,8,16,3), got [2,8,8,3]");
}
