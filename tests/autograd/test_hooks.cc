// Hooks on tensors and on modules: what they see, what they replace, in which order, and for how long.
#include "autograd/hooks.h"

#include <doctest/doctest.h>

#include <set>

#include "attention/mechanisms/dot_product.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "autograd/recompute.h"
#include "nn/models/encoder_decoder.h"
#include "tests/nn/tiny_model.h"

using namespace tapir;

namespace {

using Values = std::vector<double>;
Tensor leaf(const Values& values) { return requires_grad(Tensor::from(values)); }

}  // namespace

TEST_CASE("hooks: see the whole gradient of a tensor once, leaf or not") {
  const Tensor x = leaf({2, 3}), y = mul(x, x);
  std::vector<std::string> seen;
  const auto hear = [&](const char* name) {
    return [&seen, name](const Tensor& g) {
      seen.push_back(text(name, ' ', g.values<double>()[0], ' ', g.values<double>()[1]));
      return Tensor();
    };
  };
  const GradientHandle on_x = on_gradient(x, hear("x")), on_y = on_gradient(y, hear("y"));
  backward(sum(add(y, add(y, y))));
  CHECK(seen == std::vector<std::string>{"y 3 3", "x 12 18"});
  CHECK(gradient(x).values<double>() == Values{12, 18});
}

TEST_CASE("hooks: replace the gradient in their order, and no longer when the handle is gone") {
  const Tensor x = leaf({2, 3});
  const GradientHandle add_one = on_gradient(x, [](const Tensor& g) { return affine(g, 1, 1); });
  GradientHandle twice = on_gradient(x, [](const Tensor& g) { return affine(g, 2, 0); });
  const auto g = [&] { return grad({sum(mul(x, x))}, {x})[0].values<double>(); };
  CHECK(g() == Values{10, 14});   // 2 (2x + 1)
  twice.reset();
  CHECK(g() == Values{5, 7});
  backward(sum(mul(x, x)));
  CHECK(gradient(x).values<double>() == Values{5, 7});
  twice = on_gradient(x, [](const Tensor& g) { return affine(g, 2, 0); });
  CHECK(x.node->hooks.size() == 2);   // the one that is gone has left no trace
}

TEST_CASE("hooks: are differentiated under create_graph") {
  const Tensor x = leaf({2, 3}), y = mul(x, x);
  GradientHandle square_it = on_gradient(y, [](const Tensor& g) { return mul(g, g); });
  const Tensor first = grad({sum(mul(y, y))}, {x}, {}, {.create_graph = true})[0];   // (2y)² 2x = 8 x⁵
  CHECK(first.values<double>() == Values{8 * 32, 8 * 243});
  square_it.reset();   // else it would square in the next walk too
  CHECK(grad({sum(first)}, {x})[0].values<double>() == Values{40 * 16, 40 * 81});
}

TEST_CASE("hooks: of what a recomputed function holds see the whole gradient alone") {
  const Tensor x = leaf({2}), w = leaf({5});
  std::vector<double> seen;
  const GradientHandle handle = on_gradient(w, [&](const Tensor& g) {
    seen.push_back(g.values<double>()[0]);
    return Tensor();
  });
  const Tensor y = recompute([&](const std::vector<Tensor>& in) { return mul(in[0], w); }, {x});
  backward(sum(add(y, w)));
  CHECK(seen == Values{3});
}

TEST_CASE("hooks: what cannot be is refused, and names the module") {
  CHECK(message_of([] { (void)on_gradient(Tensor::zeros({2}), [](const Tensor& g) { return g; }); }) ==
        "on_gradient: the tensor needs no gradient; hint: make it a leaf: requires_grad");
  const Tensor x = leaf({2, 3});
  const Tensor y = [&] {
    const Scope scope("block");
    return exp(x);
  }();
  const GradientHandle wrong = on_gradient(y, [](const Tensor&) { return Tensor::zeros({3}); });
  CHECK(message_of([&] { backward(sum(y)); }) == "gradient hook: of 'exp' returned f32[3] for f64[2] (in block)");
}

// Modules whose parameters are used by their parent have no forward of their own.
TEST_CASE("hooks: every module of a language model calls its forward hooks, with every mechanism") {
  for (const std::string& name : causal_mechanisms()) {
    CAPTURE(name);
    const TinyModel tiny(name);
    std::set<std::string> silent;
    std::vector<nn::ForwardHandle> handles;
    tiny.model->each_module([&](const std::string& full, nn::Module& module) {
      silent.insert(full);
      handles.push_back(module.on_forward([&, full](const std::vector<Tensor>& inputs, const Tensor& y) {
        CHECK(Scope::path() == full);
        CHECK(!inputs.empty());
        CHECK(y.defined());
        silent.erase(full);
        return Tensor();
      }));
    });
    tiny.loss();
    for (const std::string& full : silent) CHECK_MESSAGE((full == "positions" || contains_text(full, ".attention.")), full);
  }
}

TEST_CASE("hooks: models that another module owns run below its scope, whole and token by token") {
  struct Parent : nn::Module {
    explicit Parent(const nn::TransformerOptions& options)
        : one(child<nn::LanguageModel>("one", options, mixer)), other(child<nn::LanguageModel>("other", options, mixer)),
          pair(child<nn::EncoderDecoder>("pair", options, options, mixer, mixer)) {}
    static std::unique_ptr<nn::TokenMixer> mixer(const MixerShape& shape) { return make_dot_product(shape); }
    nn::LanguageModel &one, &other;
    nn::EncoderDecoder& pair;
  };
  Parent parent(tiny_options());
  parent.initialise(1, DType::f64);
  std::set<std::string> heard;
  std::vector<nn::ForwardHandle> handles;
  parent.each_module([&](const std::string& full, nn::Module& below) {
    handles.push_back(below.on_forward([&, full](const auto&, const Tensor&) {
      CHECK(Scope::path() == full);
      heard.insert(full);
      return Tensor();
    }));
  });
  const Tensor tokens = Tensor::from(std::vector<int32_t>{3, 1, 4, 1, 5, 2, 6, 0}, {2, 4});
  const auto run = [&](const auto& forward) {
    heard.clear();
    forward();
    return heard;
  };
  const std::set<std::string> whole = run([&] { parent.one.forward(tokens, {}); });
  for (const char* name : {"one", "one.blocks", "one.blocks.0.attention.query", "one.head"}) CHECK(whole.contains(name));
  nn::DecoderState state = parent.other.state(2);
  const std::set<std::string> stepped = run([&] { parent.other.step(tokens, state); });
  for (const char* name : {"other", "other.blocks", "other.blocks.1.attention", "other.head"}) CHECK(stepped.contains(name));
  const std::set<std::string> pair = run([&] { parent.pair.forward(tokens, tokens, {}); });
  for (const char* name : {"pair", "pair.encoder.blocks", "pair.decoder.blocks.0", "pair.head"}) CHECK(pair.contains(name));
}

TEST_CASE("hooks: on a module see and replace its output, in their order, as long as the handle lives") {
  const TinyModel tiny("dot_product");
  nn::Module& mlp = tiny.model->at("blocks.1.mlp");
  const auto logits = [&] { return tiny.model->forward(tiny.tokens(), {}).values<double>(); };
  const Values plain = logits();
  std::vector<std::string> order;
  {
    const nn::ForwardHandle first = mlp.on_forward([&](const std::vector<Tensor>& inputs, const Tensor& y) {
      order.push_back(text("first ", inputs[0].shape(), y.shape()));
      return affine(y, 0, 0);
    });
    const nn::ForwardHandle second = mlp.on_forward([&](const std::vector<Tensor>&, const Tensor& y) {
      order.push_back(y.values<double>() == Values(64, 0) ? "second, of zeros" : "second");
      return Tensor();
    });
    CHECK(logits() != plain);
    CHECK(order == std::vector<std::string>{"first [2,4,8][2,4,8]", "second, of zeros"});
    tiny.loss();
  }
  CHECK(logits() == plain);
  const nn::ForwardHandle same = mlp.on_forward([](const auto&, const Tensor& y) { return affine(y, 1, 0); });
  CHECK(logits() == plain);
  CHECK(message_of([&] { tiny.model->at("blocks.0").at("mlpp"); }) ==
        "module: there is no 'mlpp'; below this one are: norm1, attention, attention.query, attention.key, "
        "attention.value, attention.out, norm2, mlp, mlp.up, mlp.dropout, mlp.down, branch1, branch1.dropout, branch2, branch2.dropout");
}
