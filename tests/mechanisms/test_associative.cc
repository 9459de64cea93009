// Associative Transformer beside its scalar loops: properties, golden values and rules of the specification (3.1), coupled batches.
#include <doctest/doctest.h>

#include <limits>

#include "attention/mechanisms/associative.h"
#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "nn/models/vision_transformer.h"
#include "tensor/in_place.h"
#include "tests/golden_file.h"
#include "tests/mechanisms/reference_associative.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::DotProduct;
using reference::Sizes;
using reference::Values;

// ---- the row

Refusals number(const std::string& low, const std::string& high, const std::string& beside) {
  return {{beside, text("must be a number in ", low, " … ", high, ", found ", beside)},
          {"nan", text("must be a number in ", low, " … ", high, ", found nan")}};
}

constexpr const char* small_keys = "slots = 3\nslot_width = 2\nmemory_heads = 2\nselected = 3\n";

// Evaluation reads a memory, and what writes it is not at work: those options are ways to the same result.
Rule of_training(Rule rule) {
  rule.same = true;
  rule.unrecorded = "cases are evaluations; of a training is associative.json";
  return rule;
}

const Registered registered(
    {.mechanism = "associative",
     .heads =
         [](const auto&, const auto& parameters, const auto& n, const auto& q, const auto& k, const auto& v, const auto& g) {
           Attention result = attend(DotProduct(), n, q, k, v, g);
           for (const auto& [name, parameter] : parameters)   // of the other place
             if (name.starts_with("workspace.") || name.starts_with("feed_forward_norm.") || name.starts_with("dense."))
               result.gradients[name] = Values(parameter->shape.elements(), 0.0);
           return result;
         },
     .layer = reference::layer_of_associative,
     .rules = {{"layer", {"'workspace'", "'dense'"}, {}, choice("dens", "workspace, dense", "dense")},
               {"slots", {"1", "2", "32"}, {"65536"}, whole_number(1, 65536)},
               {"slot_width", {"1", "2", "32"}, {"4096"}, whole_number(1, 4096)},
               {"memory_heads", {"1", "2"}, {"1024"}, whole_number(1, 1024), "", 0, true},
               of_training({"selected", {"1", "512"}, {"1073741824"}, whole_number(1, 1073741824)}),
               of_training({"memory_rate", {"0.1", "1"}, {"0"}, number("0", "1", "1.5")}),
               of_training(truth("residual")),
               of_training({"write_dropout", {"0", "0.5"}, {"0.99"}, number("0", "0.99", "-0.5")}),
               of_training({"balance", {"0", "0.01"}, {"1000000"}, number("0", "1000000", "-0.5")}),
               of_training({"gradient", {"'detached'", "'differentiable'"}, {},
                            choice("detach", "detached, differentiable", "detached")}),
               of_training({"read", {"'new'", "'old'"}, {}, choice("ol", "new, old", "old")}),
               {"beta", {"0.5", "1", "4"}, {"1e-6", "1000000"}, number("1e-06", "1000000", "-0.5")},
               {"retrieval_steps", {"1", "2", "3"}, {"64"}, whole_number(1, 64)}},
     .variants = {small_keys, text(small_keys, "beta = 2\nretrieval_steps = 3"), "slot_width = 2\nmemory_heads = 2\nlayer = 'dense'", ""}});

// ---- a layer at work

constexpr int64_t B = 3, T = 4, C = 6;

AssociativeOptions small(const std::string& gradient = "detached", const std::string& read = "new") {
  AssociativeOptions o;
  o.slots = 5;
  o.slot_width = 3;
  o.memory_heads = 2;
  o.selected = 4;
  o.write_dropout = 0;
  o.balance = 0.5;
  o.gradient = gradient;
  o.read = read;
  return o;
}

struct Pass {
  Tensor y;
  Values memory;   // that it leaves
  double loss = 0;
};

struct Layer {
  explicit Layer(const AssociativeOptions& o, uint64_t seed = 1)
      : options(o), mixer(make_associative(o, {.width = C, .heads = 2})) {
    mixer->initialise(seed, DType::f64);
    spread_parameters(*mixer, seed);
    mixer->each_buffer([&](const std::string&, nn::Buffer& buffer) { memory = &buffer; });
  }

  Pass train(const Tensor& z, const Mask& mask = {}, const decltype(nn::Call::recorder)& recorder = {}) const {
    nn::Effects effects;
    const nn::Call call{.training = true, .mask = mask, .recorder = recorder, .effects = &effects};
    const Tensor y = nn::after_feed_forward(*mixer, z, call);
    Pass pass{y, effects.read(*memory).values<double>(), 0};
    for (const nn::AuxiliaryLoss& one : effects.losses()) {
      CHECK(one.name == "workspace.balance");
      CHECK(one.weight == options.balance);
      pass.loss += one.value.item();
    }
    return pass;
  }
  Tensor evaluate(const Tensor& z, const Mask& mask = {}) const { return nn::after_feed_forward(*mixer, z, call_with(mask)); }

  Values normed(const Tensor& z) const {   // ξ (N,C)
    const Parameters parameters = parameters_of(*mixer);
    const reference::RowNorm norm{reference::value_of(parameters, "feed_forward_norm.weight"),
                                  reference::value_of(parameters, "feed_forward_norm.bias"), 1e-5};
    const Values values = z.values<double>();
    Values all;
    for (size_t at = 0; at < values.size(); at += C) {
      const Values y = norm.apply(&values[at]);
      all.insert(all.end(), y.begin(), y.end());
    }
    return all;
  }

  AssociativeOptions options;
  std::unique_ptr<nn::TokenMixer> mixer;
  nn::Buffer* memory = nullptr;
};

Tensor tokens(const char* site = "z") { return random_normal({B, T, C}, 7, site); }

Values sample(const Tensor& y, int64_t b, int64_t first = 0, int64_t count = T) {
  return slice(slice(y.detach(), 0, b, 1), 1, first, count).values<double>();
}

Tensor rows(const Tensor& x, const std::vector<int32_t>& order, int axis = 0) {
  return index_select(x, axis, Tensor::from(order, {static_cast<int64_t>(order.size())}));
}

double distance(const Values& x, const Values& y) { return frobenius_error(x, y); }

void check_close(const Values& found, const Values& expected, double within) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) CHECK(std::abs(found[i] - expected[i]) < within);
}

}  // namespace

TEST_CASE("associative: a batch of training equals scalar loops, what it reads, writes and loses") {
  for (const uint64_t seed : {1, 2})
    for (const int64_t selected : {1, 4, 512})
      for (const bool residual : {true, false})
        for (const std::string read : {"new", "old"}) {
          AssociativeOptions o = small("detached", read);
          o.selected = selected;
          o.residual = residual;
          o.retrieval_steps = 2;
          const Layer layer_of(o, seed);
          const Parameters parameters = parameters_of(*layer_of.mixer);
          const Buffers before = buffers_of(*layer_of.mixer);
          const reference::WorkspaceWrite expected = reference::write_of(o, parameters, before.at("workspace.memory"), layer_of.normed(tokens()), C);
          Values G;
          const Pass pass = layer_of.train(tokens(), {}, [&](const std::string&, const std::string& name, const Tensor& value) {
            if (name == "write") G = value.values<double>();
          });
          CHECK(distance(G, expected.G) < 1e-13);
          CHECK(distance(pass.memory, expected.memory) < 1e-13);
          CHECK(std::abs(pass.loss - expected.loss) < 1e-12 * expected.loss);
          const Sizes n{.B = B, .H = 2, .T = T, .S = T, .D = C / 2};
          const Buffers read_from = read == "new" ? Buffers{{"workspace.memory", expected.memory}} : before;
          const Values z = tokens().values<double>();
          const Attention expected_layer = reference::layer_of_associative(o, parameters, read_from, n, z, z);
          CHECK(distance(pass.y.values<double>(), expected_layer.output) < 1e-13);
          CHECK(buffers_of(*layer_of.mixer) == before);   // until the step is done
        }
}

TEST_CASE("associative: a batch of training, with every gradient, equals independent PyTorch values in float64") {
  const nlohmann::json golden = golden_file("associative.json");
  REQUIRE(golden["cases"].size() == 4);
  for (const nlohmann::json& one : golden["cases"]) {
    CAPTURE(one["name"].get<std::string>());
    AssociativeOptions o = small(one["gradient"], one["read"]);
    o.residual = one["residual"];
    o.retrieval_steps = one["steps"];
    Layer layer_of(o);
    const Parameters parameters = parameters_of(*layer_of.mixer);
    for (const auto& [name, value] : one["parameters"].items())
      parameters.at(name)->value = requires_grad(golden_tensor(value));
    layer_of.memory->value = golden_tensor(one["memory"]);
    const Tensor z = requires_grad(golden_tensor(one["z"]));
    nn::Effects effects;
    const nn::Call call{.training = true, .mask = {}, .recorder = {}, .effects = &effects};
    const Tensor y = nn::after_feed_forward(*layer_of.mixer, z, call);
    CHECK(distance(y.values<double>(), one["output"]["data"].get<Values>()) <= 1e-12);
    CHECK(distance(effects.read(*layer_of.memory).values<double>(), one["written"]["data"].get<Values>()) <= 1e-12);
    CHECK(effects.losses().front().value.item() == doctest::Approx(one["balance"].get<double>()).epsilon(1e-12));
    backward(effects.added_to(sum(mul(y, golden_tensor(one["upstream"])))));
    for (const auto& recorded : one["gradients"].items()) {
      const std::string& name = recorded.key();
      const nlohmann::json& value = recorded.value();
      CAPTURE(name);
      const Tensor g = gradient(name == "z" ? z : parameters.at(name)->value);
      if (value.is_null()) {   // it never has one
        CHECK(!g.defined());
        continue;
      }
      REQUIRE(g.defined());
      CHECK(distance(g.values<double>(), value["data"].get<Values>()) <= 1e-9);
    }
  }
}

// ---- specification 3.1.9

TEST_CASE("associative: with k of at least all tokens the write is dense cross-attention (property 1)") {
  const Tensor scores = random_normal({2, 5, 12}, 3, "scores");
  for (const int64_t k : {12, 13, 512}) CHECK(bottleneck(scores, k).values<double>() == softmax(scores).values<double>());
  CHECK(distance(bottleneck(scores, 11).values<double>(), softmax(scores).values<double>()) > 1e-3);
  AssociativeOptions all = small(), dense = small();
  all.selected = B * T;
  dense.selected = 512;
  CHECK(Layer(all).train(tokens()).memory == Layer(dense).train(tokens()).memory);
}

TEST_CASE("associative: rows of the write sum to 1 over exactly k tokens, importance sums to M, load to M k (property 2)") {
  const int64_t M = 5, N = 12;
  for (const int64_t k : {1, 4, 11}) {
    const Tensor G = bottleneck(random_normal({M, N}, 3, "scores"), k);
    check_close(sum(G, 1).values<double>(), Values(M, 1.0), 1e-14);
    double importance = 0, load = 0;
    for (const double share : G.values<double>()) importance += share, load += share > 0;
    CHECK(importance == doctest::Approx(M).epsilon(1e-14));
    CHECK(load == static_cast<double>(M * k));
    for (int64_t row = 0; row < M; ++row) {
      const Values own = slice(G, 0, row, 1).values<double>();
      CHECK(std::count_if(own.begin(), own.end(), [](double share) { return share > 0; }) == k);
    }
  }
}

TEST_CASE("associative: permuted tokens and samples give permuted results and leave the memory as it is (property 3)") {
  const Layer one(small());
  const Tensor z = tokens();
  const Pass plain = one.train(z), samples = one.train(rows(z, {2, 0, 1})), within = one.train(rows(z, {3, 1, 0, 2}, 1));
  CHECK(distance(samples.memory, plain.memory) < 1e-14);
  CHECK(distance(within.memory, plain.memory) < 1e-14);
  CHECK(distance(samples.y.values<double>(), rows(plain.y.detach(), {2, 0, 1}).values<double>()) < 1e-14);
  CHECK(distance(within.y.values<double>(), rows(plain.y.detach(), {3, 1, 0, 2}, 1).values<double>()) < 1e-14);
}

TEST_CASE("associative: no step of the retrieval raises the energy (property 4; golden 3.1.9a)") {
  const Tensor P = Tensor::from(Values{1, 0, 0, 1, -1, 1}, {3, 2});
  Tensor xi = Tensor::from(Values{1, 0.5}, {1, 2});
  const std::vector<Values> path{{1, 0.5}, {0.4245977350, 0.4534506127}, {0.1209352172, 0.6299656188}};
  const double energies[] = {1.1194816833, 0.8728055455, 0.7632423720, 0.7025526379};
  for (size_t t = 0; t < 4; ++t) {
    if (t < path.size()) check_close(xi.values<double>(), path[t], 5.1e-11);
    check_close({hopfield_energy(xi, P, 1).item()}, {energies[t]}, 1e-10);   // ten digits, the rest of two cut off
    xi = hopfield_step(xi, P, 1);
  }
  for (const double beta : {0.1, 1.0, 5.0}) {
    const Tensor patterns = random_normal({7, C}, 5, "P");
    Tensor all = affine(tokens(), 3, 0);
    for (int step = 0; step < 8; ++step) {
      const Tensor next = hopfield_step(all, patterns, beta);
      CHECK(max(sub(hopfield_energy(next, patterns, beta), hopfield_energy(all, patterns, beta))).item() <= 1e-12);
      all = next;
    }
  }
}

TEST_CASE("associative: a small β gives the mean pattern, a large one the pattern of the largest product (property 5)") {
  const Tensor P = random_normal({7, C}, 5, "P"), xi = tokens();
  const Values found = hopfield_step(xi, P, 1e-10).values<double>();
  const Values mean_row = mean(P, 0).values<double>();
  for (size_t i = 0; i < found.size(); ++i) CHECK(std::abs(found[i] - mean_row[i % C]) < 1e-8);
  const std::vector<int32_t> nearest = argmax(linear(xi, P), -1).values<int32_t>();
  CHECK(hopfield_step(xi, P, 1e6).values<double>() == rows(P, nearest).values<double>());
}

TEST_CASE("associative: a memory of one row is what every token gets (property 6)") {
  const Tensor P = random_normal({1, C}, 5, "P");
  const Values found = hopfield_step(tokens(), P, 3).values<double>(), row = P.values<double>();
  for (size_t i = 0; i < found.size(); ++i) CHECK(found[i] == row[i % C]);
}

TEST_CASE("associative: the loss is least where rows take other tokens each, largest where all take the same (property 7; golden 3.1.9b)") {
  const int64_t M = 32, k = 512, N = 32768;
  const auto load = [&](int64_t apart) {   // row j takes the k tokens from j · apart on
    Values all(N, 0.0);
    for (int64_t j = 0; j < M; ++j)
      for (int64_t i = 0; i < k; ++i) all[j * apart + i] += 1;
    return squared_variation(Tensor::from(all, {N})).item();
  };
  CHECK(load(k) == doctest::Approx(1).epsilon(1e-3));
  CHECK(load(0) == doctest::Approx(63).epsilon(1e-3));
  CHECK(load(k) < load(k / 2));
  CHECK(load(k / 2) < load(1));
  CHECK(load(1) < load(0));
}

TEST_CASE("associative: the unevenness of four numbers (golden 3.1.4)") {
  check_close({squared_variation(Tensor::from(Values{0.5, 1.5, 0, 1}, {4})).item()}, {0.7407407406}, 5.1e-11);
}

// ---- specification 3.1.5 and 3.1.6

TEST_CASE("associative: of equal scores the first are taken") {
  const Tensor scores = Tensor::from(Values{1, 2, 2, 2, 0, 3, 3, 3, 3, 3}, {2, 5});
  CHECK(bottleneck(scores, 2).values<double>() == Values{0, 0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0, 0});
  const Values three = bottleneck(scores, 4).values<double>();
  CHECK(three[0] > 0);
  CHECK(three[4] == 0);
  CHECK(Values(three.begin() + 5, three.end()) == Values{0.25, 0.25, 0.25, 0.25, 0});
}

TEST_CASE("associative: tokens that are not there neither write nor read, whatever they hold, and count nowhere") {
  AssociativeOptions o = small();
  o.selected = 8;   // more than there are
  const Layer one(o);
  const Tensor z = slice(tokens(), 0, 0, 2);
  const std::vector<uint8_t> present{1, 1, 1, 0, 1, 1, 0, 0};
  const Mask mask{.causal = false, .offset = 0, .keys = Tensor::from(present, {2, T})};
  // those that are there, as samples of one token: the write knows no order
  const Tensor there = reshape(rows(reshape(z, {8, C}), {0, 1, 2, 4, 5}), {5, 1, C});
  const Pass expected = one.train(there);
  for (const double content : {0.0, 1e100, std::numeric_limits<double>::quiet_NaN()}) {
    const Tensor odd = requires_grad(
        where(reshape(mask.keys, {2, T, 1}), z, Tensor::full({}, content, DType::f64)).detach());
    const Pass pass = one.train(odd, mask);
    CHECK(distance(pass.memory, expected.memory) < 1e-14);
    CHECK(pass.loss == doctest::Approx(expected.loss).epsilon(1e-14));
    const Values found = rows(reshape(pass.y.detach(), {8, C}), {0, 1, 2, 4, 5}).values<double>();
    CHECK(distance(found, expected.y.values<double>()) < 1e-14);
    const Tensor of_those = mul(rows(reshape(pass.y, {8, C}), {0, 1, 2, 4, 5}), random_normal({5, C}, 2, "g"));
    for (const double g : sample(grad({sum(of_those)}, {odd})[0], 1, 2, 2)) CHECK(g == 0);
  }
  const Mask none{.causal = false, .offset = 0, .keys = Tensor::from(std::vector<uint8_t>(8, 0), {2, T})};
  const Pass nothing = one.train(z, none);
  CHECK(nothing.y.values<double>() == z.values<double>());
  CHECK(nothing.memory == one.memory->value.values<double>());
  CHECK(nothing.loss == 0);
}

TEST_CASE("associative: differences agree in the differentiable mode, and with a memory that stays; detached they do not") {
  const auto checked = [](const AssociativeOptions& o, bool training, const Mask& mask = {}) {
    const Layer one(o);
    const Parameters parameters = parameters_of(*one.mixer);
    std::vector<Tensor> inputs{tokens()};
    std::vector<nn::Parameter*> own;
    for (const auto& [name, parameter] : parameters)
      if (name.starts_with("workspace.") || name.starts_with("feed_forward_norm.")) own.push_back(parameter);
    for (const nn::Parameter* parameter : own) inputs.push_back(parameter->value);
    const Function f = [&](const std::vector<Tensor>& in) {
      for (size_t i = 0; i < own.size(); ++i) own[i]->value = in[i + 1];
      nn::Effects effects;
      const nn::Call call{.training = training, .mask = mask, .recorder = {}, .effects = &effects};
      const Tensor y = nn::after_feed_forward(*one.mixer, in[0], call);
      return training ? concat({reshape(y, {-1}), reshape(effects.added_to(mean(square(y))), {1})}, 0) : y;
    };
    // steps that leave the choice of tokens as it is
    const GradcheckResult first = gradcheck("associative", f, inputs, {.step = 1e-6, .may_vanish = true});
    return first.passed && gradgradcheck("associative", f, inputs, {.step = 1e-6, .relative = 1e-5, .may_vanish = true}).passed;
  };
  CHECK(checked(small("differentiable"), true));
  CHECK(checked(small("detached"), false));
  CHECK(checked(small("detached", "old"), true));
  CHECK(checked(small("detached"), true, {.causal = true, .offset = 0, .keys = {}}));
  CHECK(!checked(small("detached"), true));
}

TEST_CASE("associative: detached, the balance alone teaches what chooses tokens, and nothing what is written") {
  const auto taught = [](const AssociativeOptions& o) {
    const Layer one(o);
    nn::Effects effects;
    const nn::Call call{.training = true, .mask = {}, .recorder = {}, .effects = &effects};
    const Tensor y = nn::after_feed_forward(*one.mixer, tokens(), call);
    backward(effects.added_to(sum(square(y))));
    std::string names;
    for (const auto& [name, parameter] : parameters_of(*one.mixer))
      if (gradient(parameter->value).defined()) names += name + ' ';
    return names;
  };
  const std::string read = "feed_forward_norm.bias feed_forward_norm.weight ",
                    patterns = "workspace.patterns.bias workspace.patterns.weight ";
  CHECK(taught(small("detached")) == read + "workspace.key.weight " + patterns + "workspace.query.weight ");
  AssociativeOptions without = small("detached");
  without.balance = 0;
  CHECK(taught(without) == read + patterns);
  without.gradient = "differentiable";
  CHECK(taught(without) == read + "workspace.key.weight workspace.norm.bias workspace.norm.weight workspace.out.weight " +
                               patterns + "workspace.query.weight workspace.value.weight ");
}

TEST_CASE("associative: a memory that holds this batch leaks later tokens; under a causal mask that of before is read") {
  const Tensor z = tokens(), changed = concat({slice(z, 1, 0, T - 1), slice(tokens("other"), 1, T - 1, 1)}, 1);
  const auto earlier = [](const Pass& pass) { return slice(pass.y.detach(), 1, 0, T - 1).values<double>(); };
  const Mask causal{.causal = true, .offset = 0, .keys = {}};
  for (const std::string gradient : {"detached", "differentiable"}) {
    const Layer one(small(gradient));
    CHECK(distance(earlier(one.train(z)), earlier(one.train(changed))) > 1e-4);
    CHECK(earlier(one.train(z, causal)) == earlier(one.train(changed, causal)));
    CHECK(one.train(z, causal).memory == one.train(z).memory);   // it is written all the same
    CHECK(one.train(z, causal).y.values<double>() == one.evaluate(z).values<double>());
  }
}

// ---- what the coupling of a batch means

TEST_CASE("associative: a sample's result depends on the others in training, unless the old memory is read, and never else") {
  const Tensor z = tokens(), changed = concat({slice(z, 0, 0, 1), slice(tokens("other"), 0, 1, B - 1)}, 0);
  const Layer now(small()), before(small("detached", "old"));
  CHECK(distance(sample(now.train(z).y, 0), sample(now.train(changed).y, 0)) > 1e-4);
  CHECK(sample(before.train(z).y, 0) == sample(before.train(changed).y, 0));
  CHECK(before.train(z).memory != before.train(changed).memory);   // so the next batch differs
  CHECK(sample(now.evaluate(z), 0) == sample(now.evaluate(changed), 0));
  for (int64_t b = 0; b < B; ++b)
    CHECK(distance(sample(now.evaluate(slice(z, 0, b, 1)), 0), sample(now.evaluate(z), b)) < 1e-14);
}

TEST_CASE("associative: a model evaluates images with a memory that stays, in batches of any size, and says its energy") {
  nn::VisionTransformerOptions o;
  o.width = 8;
  o.layers = 2;
  o.heads = 2;
  const AssociativeOptions own = small();
  nn::VisionTransformer model(o, {8, 8, 3}, 5, [&](const MixerShape& shape) { return make_associative(own, shape); });
  model.initialise(1, DType::f64);
  const Tensor images = random_normal({4, 8, 8, 3}, 1, "images");
  const Buffers memory = buffers_of(model);
  CHECK(memory.size() == 2);
  std::vector<std::string> heard;
  nn::Call call;
  call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
    if (name != "energy") return;
    heard.push_back(path);
    CHECK(value.shape() == Shape{4, 4});
  };
  const Values together = model.forward(images, call).values<double>();
  CHECK(heard == std::vector<std::string>{"blocks.0.attention.workspace", "blocks.1.attention.workspace"});
  Values apart;
  for (int64_t b = 0; b < 4; ++b)
    for (const double logit : model.forward(slice(images, 0, b, 1), {}).values<double>()) apart.push_back(logit);
  CHECK(distance(apart, together) < 1e-13);
  CHECK(buffers_of(model) == memory);

  nn::Effects effects;   // were evaluation to write and read anew, as training does, it would depend on the batch
  const nn::Call training{.training = true, .mask = {}, .recorder = {}, .effects = &effects};
  const Values coupled = model.forward(images, training).values<double>();
  nn::Effects alone;
  const nn::Call first{.training = true, .mask = {}, .recorder = {}, .effects = &alone};
  const Values single = model.forward(slice(images, 0, 0, 1), first).values<double>();
  CHECK(distance(single, {coupled.begin(), coupled.begin() + 5}) > 1e-6);
  effects.commit();
  CHECK(buffers_of(model) != memory);
  for (const auto& one : buffers_of(model))
    for (size_t row = 0; row < one.second.size(); row += 3) {   // of length 1 from the first write on
      double length = 0;
      for (size_t i = row; i < row + 3; ++i) length += one.second[i] * one.second[i];
      CHECK(length == doctest::Approx(1).epsilon(1e-14));
    }
}

TEST_CASE("associative: what is dropped is drawn for what is written, anew in every step") {
  AssociativeOptions o = small();
  o.write_dropout = 0.5;
  const Layer one(o);
  const auto memory_of = [&](uint32_t step) {
    nn::Effects effects;
    const nn::Call call{.training = true, .seed = 1, .step = step, .mask = {}, .recorder = {}, .effects = &effects};
    nn::after_feed_forward(*one.mixer, tokens(), call);
    return effects.read(*one.memory).values<double>();
  };
  CHECK(memory_of(0) == memory_of(0));
  CHECK(memory_of(0) != memory_of(1));
  CHECK(memory_of(0) != one.train(tokens()).memory);
}

TEST_CASE("associative: the dense control needs the same place, and has as many parameters, within half of a hidden unit") {
  for (const int64_t width : {6, 96, 768})
    for (const int64_t slot_width : {2, 32}) {
      AssociativeOptions o;
      o.slot_width = slot_width;
      const MixerShape shape{.width = width, .heads = 2};
      const int64_t workspace = make_associative(o, shape)->parameter_count();
      o.layer = "dense";
      const auto dense = make_associative(o, shape);
      CHECK(dense->needs() == nn::Needs{.self = true, .feed_forward = true});
      CHECK(std::abs(workspace - dense->parameter_count()) <= width + 1);
    }
}

TEST_CASE("associative: one token of one sample has no unevenness, and is written") {
  const Layer one(small());
  const Pass pass = one.train(slice(slice(tokens(), 0, 0, 1), 1, 0, 1));
  CHECK(pass.loss == 0);
  CHECK(pass.memory != one.memory->value.values<double>());
}
