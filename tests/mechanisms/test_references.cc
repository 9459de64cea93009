// Every row that claims `exact`, its whole mixer with projections, against scalar loops: every value of every option, each
// situation that the row's needs allow, in f64 and f32. Forward alone: gradients are judged by differences and by PyTorch's
// values.
#include <doctest/doctest.h>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "nn/after_feed_forward.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;
using reference::Sizes;
using reference::Values;

namespace {

struct LinearMap {
  Values W, b;   // b empty: none

  double bias(int64_t o) const { return b.empty() ? 0 : b[o]; }
};

// Head h holds channels h·D … h·D + D − 1 of W x + b: (B,L,C) → (B,H,L,D).
Values to_heads(const Sizes& n, int64_t length, const Values& tokens, const LinearMap& map) {
  const int64_t C = n.C();
  Values heads(n.B * n.H * length * n.D);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t t = 0; t < length; ++t)
      for (int64_t o = 0; o < n.H * n.D; ++o) {
        double& y = heads[((b * n.H + o / n.D) * length + t) * n.D + o % n.D];
        y = map.bias(o);
        for (int64_t i = 0; i < C; ++i) y += map.W[o * C + i] * tokens[(b * length + t) * C + i];
      }
  return heads;
}

Values to_tokens(const Sizes& n, const Values& heads, const LinearMap& map) {
  const int64_t C = n.C(), inner = n.H * n.D;
  Values y(n.B * n.T * C);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t t = 0; t < n.T; ++t)
      for (int64_t o = 0; o < C; ++o) {
        double& out = y[(b * n.T + t) * C + o];
        out = map.bias(o);
        for (int64_t c = 0; c < inner; ++c) out += map.W[o * inner + c] * heads[n.query(b, c / n.D, t) + c % n.D];
      }
  return y;
}

// (B,T,C) of the attention with these options and parameters.
Values attention_of(const Oracle& oracle, const nn::Options& options, const Parameters& parameters, const Sizes& n,
                    const Values& x, const Values& context) {
  if (oracle.mixer) return oracle.mixer(options, parameters, n, x, context, Values(x.size(), 0.0)).output;
  const auto map = [&](const std::string& layer) {   // the identity where there is none
    const auto bias = parameters.find(layer + ".bias");
    if (!parameters.contains(layer + ".weight")) {
      Values W(n.C() * n.C(), 0.0);
      for (int64_t c = 0; c < n.C(); ++c) W[c * n.C() + c] = 1;
      return LinearMap{W, {}};
    }
    return LinearMap{parameters.at(layer + ".weight")->value.values<double>(),
                     bias == parameters.end() ? Values() : bias->second->value.values<double>()};
  };
  const Values q = to_heads(n, n.T, x, map("query")), k = to_heads(n, n.S, context, map("key")),
               v = to_heads(n, n.S, context, map("value"));
  return to_tokens(n, oracle.heads(options, parameters, n, q, k, v, Values(q.size(), 0.0)).output, map("out"));
}

struct Variant {
  std::string label;
  std::unique_ptr<nn::Options> options;
};

// Gives field `field` its value number `value`; `exists` if it has so many.
class Choose final : public nn::FieldVisitor {
 public:
  Choose(size_t field, size_t value) : field_(field), value_(value) {}

  void operator()(const char* key, int64_t& x, const char*, const nn::Range& range) override {
    std::vector<int64_t> all{x};
    for (const int64_t other : {static_cast<int64_t>(range.low), static_cast<int64_t>(range.low) + 1, int64_t{3}})
      if (range.contains(other) && other != x) all.push_back(other);
    choose(key, x, all);
  }
  void operator()(const char* key, double& x, const char*, const nn::Range& range) override {
    std::vector<double> all{x};
    for (const double other : {0.0, 0.3, 1.0})
      if (range.contains(other) && other != x) all.push_back(other);
    choose(key, x, all);
  }
  void operator()(const char* key, bool& x, const char*) override { choose(key, x, std::vector<bool>{x, !x}); }
  void operator()(const char* key, std::string& x, const char*, const nn::Choices& choices) override {
    choose(key, x, choices);
  }
  void operator()(const char* key, nn::Numbers& x, const char*, const nn::Range& range) override {
    std::vector<nn::Numbers> all{x};
    for (const nn::Numbers& other : {nn::Numbers{1}, nn::Numbers{3, 2}})
      if (std::all_of(other.begin(), other.end(), [&](int64_t one) { return range.contains(one); })) all.push_back(other);
    choose(key, x, all);
  }

  bool exists = false;
  std::string label = "no option";

 private:
  template <class X, class All>
  void choose(const char* key, X& x, const All& all) {
    if (at_++ != field_ || value_ >= all.size()) return;
    x = all[value_];
    label = text(key, " = ", words(x));
    exists = true;
  }

  template <class X> static std::string words(const X& x) { return text(x); }
  static std::string words(const nn::Numbers& x) {
    std::string all;
    for (const int64_t one : x) all += text(one, ' ');
    return all;
  }

  const size_t field_, value_;
  size_t at_ = 0;
};

// Every value of every option, one at a time, beside the defaults of the others; those that the row refuses are left out.
std::vector<Variant> variants(const Mechanism& row, const MixerShape& shape) {
  std::vector<Variant> all;
  for (size_t field = 0;; ++field) {
    size_t value = 0;
    for (bool exists = true; exists; ++value) {
      std::unique_ptr<nn::Options> options = row.options();
      Choose choose(field, value);
      options->fields(choose);
      exists = choose.exists;
      if (exists && message_of([&] { row.make(*options, shape); }) == "no error")
        all.push_back({choose.label, std::move(options)});
    }
    if (value == 1) break;   // there is no such field
  }
  if (all.empty()) all.push_back({"no option", row.options()});
  return all;
}

std::vector<Sizes> situations(const nn::Needs& needs) {
  std::vector<Sizes> all{{.B = 2, .H = 2, .T = 5, .S = 5, .D = 4},
                         {.B = 2, .H = 2, .T = 6, .S = 6, .D = 4, .causal = true},
                         {.B = 1, .H = 2, .T = 1, .S = 1, .D = 4},
                         {.B = 3, .H = 2, .T = 4, .S = 4, .D = 4, .present = {1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1}},
                         {.B = 2, .H = 2, .T = 4, .S = 4, .D = 4, .causal = true, .present = {1, 0, 1, 1, 0, 1, 1, 0}},
                         {.B = 2, .H = 2, .T = 3, .S = 7, .D = 4},
                         {.B = 2, .H = 2, .T = 2, .S = 7, .D = 4, .causal = true, .offset = 5},
                         {.B = 2, .H = 2, .T = 6, .S = 6, .D = 4, .causal = true, .window = 2},
                         {.B = 1, .H = 2, .T = 6, .S = 6, .D = 4, .present = {1, 1, 0, 1, 1, 1}, .window = 1}};
  std::erase_if(all, [&](const Sizes& n) {
    return (needs.self && n.T != n.S) || (needs.all_tokens && n.causal) || (needs.any_distance && n.window > 0);
  });
  return all;
}

// Largest relative error, over all situations, of the row's mixer and the oracle, which may be that of another row. `apart`:
// the width is not that of all heads, and projections have biases.
double error_of_row(const Mechanism& row, const nn::Options& options, const Oracle& oracle, DType type, bool apart = false) {
  double worst = 0;
  for (Sizes n : situations(needs_of(row, options))) {
    if (apart) n.width = 7;
    const int64_t C = n.C();
    const bool other = n.T != n.S && !n.causal;
    MixerShape shape{.width = C, .heads = n.H, .context = other ? nn::Context::other : nn::Context::self};
    if (apart) shape.head_width = n.D, shape.biases = true;
    const auto mixer = row.make(options, shape);
    mixer->initialise(1, DType::f64);
    spread_parameters(*mixer, 1);
    const Parameters parameters = parameters_of(*mixer);
    for (const auto& [full, parameter] : parameters)   // f32 numbers, so that both get the same
      parameter->value = parameter->value.detach().to(DType::f32).to(DType::f64);
    mixer->each_buffer([](const std::string&, nn::Buffer& buffer) {
      buffer.value = buffer.value.to(DType::f32).to(DType::f64);
    });
    const auto tokens = [&](int64_t length, const char* site) {
      return random_normal({n.B, length, C}, 1, site).to(DType::f32).to(DType::f64);
    };
    const Tensor x = tokens(n.T, "x"), context = n.T == n.S ? x : tokens(n.S, "context");
    Values expected = attention_of(oracle, options, parameters, n, x.values<double>(), context.values<double>());
    if (oracle.layer) expected = oracle.layer(options, parameters, buffers_of(*mixer), n, expected, expected).output;
    for (const auto& [full, parameter] : parameters) parameter->value = parameter->value.to(type);
    mixer->each_buffer([&](const std::string&, nn::Buffer& buffer) { buffer.value = buffer.value.to(type); });
    nn::Call call;
    call.mask = {.causal = n.causal, .offset = n.offset, .keys = {}, .window = n.window};
    if (!n.present.empty()) call.mask.keys = Tensor::from(n.present, {n.B, n.S});
    const Tensor own = x.to(type);
    const NoGrad guard;
    const Tensor y = nn::after_feed_forward(*mixer, mixer->forward(own, n.T == n.S ? own : context.to(type), call), call);
    worst = std::max(worst, frobenius_error(y.to(DType::f64).values<double>(), expected));
  }
  return worst;
}

}  // namespace

TEST_CASE("references: every value of every option of every row, every shape of projections, all situations, f64 and f32") {
  for (const Mechanism& row : zoo()) {
    const auto found = oracles().find(row.name);
    const bool has_reference = found != oracles().end() && found->second.has_reference();
    for (const Variant& variant : variants(row, {.width = 8, .heads = 2})) {
      INFO(row.name, ": ", variant.label);
      const bool exact = row.claims(*variant.options).exact;
      CHECK_MESSAGE((has_reference || !exact), "claims `exact`: tests/mechanisms/test_", row.name, ".cc has no scalar loops");
      CHECK_MESSAGE((exact || !has_reference), "there are scalar loops, but it does not claim `exact`");
      if (!has_reference) continue;
      for (const bool apart : {false, true}) {
        CAPTURE(apart);
        if (apart && needs_of(row, *variant.options).whole_width) continue;
        const MixerShape other{.width = 7, .heads = 2, .head_width = 4};
        if (apart && message_of([&] { row.make(*variant.options, other); }) != "no error") {   // an option needs what it is not
          CHECK(row.make(*row.options(), other) != nullptr);
          continue;
        }
        CHECK(error_of_row(row, *variant.options, found->second, DType::f64, apart) <= 1e-12);
        CHECK(error_of_row(row, *variant.options, found->second, DType::f32, apart) <= 1e-5);
      }
    }
  }
}

TEST_CASE("references: a wrong one is noticed, and a wrong mixer") {
  const Oracle& dot_product = oracles().at("dot_product");
  for (const auto& named : oracles()) {
    const Mechanism& row = mechanism(named.first);
    if (named.second.mixer || row.name == "dot_product") continue;   // the one has other parameters, the other is meant here
    CAPTURE(row.name);
    CHECK(error_of_row(row, *row.options(), dot_product, DType::f64) > 1e-3);
  }
  struct Louder : StagedAttention {
    using StagedAttention::StagedAttention;
    Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
      return affine(StagedAttention::scores(Q, K, call), 1 + 1e-6, 0);
    }
  };
  Mechanism row = mechanism("dot_product");
  row.make = [](const nn::Options&, const MixerShape& shape) { return std::make_unique<Louder>(shape); };
  CHECK(error_of_row(row, *row.options(), dot_product, DType::f64) > 1e-8);
}
