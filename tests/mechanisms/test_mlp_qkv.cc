// MLP-QKV: its whole mixer in scalar loops; its four known versions.
#include <doctest/doctest.h>

#include <algorithm>

#include "attention/mechanisms/mlp_qkv.h"
#include "tensor/dry_run.h"
#include "tests/mechanisms/subject.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::DotProduct;
using reference::Gradients;
using reference::Layer;
using reference::Sizes;
using reference::Values;

// From the formulas of Zhang 2023 and of the versions in use:
//
//   q, k, v = the network or the matrix of each token; head h holds channels h·D … h·D + D − 1; attention; then o
//   network: t = W₁ x + b₁,  r = f(N t) | N f(t) | f(t),  y = W₂ r + b₂
//   N(t)_i = γ_i n_i + β_i,  n = (t − μ)/σ,  σ² = mean (t − μ)² + ε
//   dn = γ ⊙ dN,  dt = (dn − mean dn − n mean(dn ⊙ n))/σ,  dγ = Σ dN ⊙ n,  dβ = Σ dN
struct Norm {
  Values gain, bias;
  double epsilon = 1e-5;

  Values normalised(const Values& t, double& sigma) const {
    const double size = static_cast<double>(t.size());
    double mean = 0, variance = 0;
    for (const double value : t) mean += value / size;
    for (const double value : t) variance += (value - mean) * (value - mean) / size;
    sigma = std::sqrt(variance + epsilon);
    Values n;
    for (const double value : t) n.push_back((value - mean) / sigma);
    return n;
  }

  Values apply(const Values& t) const {
    double sigma = 0;
    Values y = normalised(t, sigma);
    for (size_t i = 0; i < y.size(); ++i) y[i] = gain[i] * y[i] + bias[i];
    return y;
  }

  Values pull_back(const Values& t, const Values& dy, Norm& gradient) const {
    double sigma = 0, mean = 0, mean_n = 0;
    const Values n = normalised(t, sigma);
    const double size = static_cast<double>(t.size());
    for (size_t i = 0; i < t.size(); ++i) {
      gradient.gain[i] += dy[i] * n[i];
      gradient.bias[i] += dy[i];
      mean += gain[i] * dy[i] / size;
      mean_n += gain[i] * dy[i] * n[i] / size;
    }
    Values dt;
    for (size_t i = 0; i < t.size(); ++i) dt.push_back((gain[i] * dy[i] - mean - n[i] * mean_n) / sigma);
    return dt;
  }
};

enum class NormPlace { none, before, after };

// y = W x where `second` is empty.
struct TokenMap {
  Layer first;
  std::vector<Layer> second;   // none or one
  NormPlace place = NormPlace::none;
  bool mish = false;

  double f(double x) const { return mish ? x * std::tanh(std::log1p(std::exp(x))) : std::max(x, 0.0); }
  double slope(double x) const {
    if (!mish) return x > 0;
    const double y = std::tanh(std::log1p(std::exp(x)));
    return y + x * (1 - y * y) / (1 + std::exp(-x));
  }

  Values apply(const double* x, const Norm& norm) const {
    Values t = first.apply(0, x);
    if (second.empty()) return t;
    if (place == NormPlace::before) t = norm.apply(t);
    for (double& value : t) value = f(value);
    if (place == NormPlace::after) t = norm.apply(t);
    return second[0].apply(0, t.data());
  }

  Values pull_back(const double* x, const Values& dy, const Norm& norm, TokenMap& gradient, Norm& norm_gradient) const {
    if (second.empty()) return first.pull_back(0, x, dy, gradient.first);
    const Values t = first.apply(0, x), z = place == NormPlace::before ? norm.apply(t) : t;
    Values r = z;
    for (double& value : r) value = f(value);
    const Values last = place == NormPlace::after ? norm.apply(r) : r;
    Values d = second[0].pull_back(0, last.data(), dy, gradient.second[0]);
    if (place == NormPlace::after) d = norm.pull_back(r, d, norm_gradient);
    for (size_t i = 0; i < d.size(); ++i) d[i] *= slope(z[i]);
    if (place == NormPlace::before) d = norm.pull_back(t, d, norm_gradient);
    return first.pull_back(0, x, d, gradient.first);
  }
};

struct MlpQkv {
  TokenMap maps[4];   // query, key, value, out
  Norm norms[4];
  bool norm_shared = false;

  // Output (B,T,C), and the gradients of ⟨output, g⟩: "x", "context" and those added to `gradient`.
  Attention mix_tokens(const Sizes& n, const Values& x, const Values& context, const Values& g, MlpQkv& gradient) const {
    const Values q = heads(n, n.T, x, 0), k = heads(n, n.S, context, 1), v = heads(n, n.S, context, 2);
    const Values merged = exchange(n, n.T, attend(DotProduct{}, n, q, k, v, Values(q.size(), 0.0)).output, false);
    const int64_t C = n.C(), inner_width = n.H * n.D;
    Values y, d_merged;
    for (int64_t row = 0; row < n.B * n.T; ++row) {
      const double* const mixed = merged.data() + row * inner_width;
      const Values out = maps[3].apply(mixed, norm(3));
      const Values d = pull_back(3, mixed, {g.begin() + row * C, g.begin() + (row + 1) * C}, gradient);
      y.insert(y.end(), out.begin(), out.end());
      d_merged.insert(d_merged.end(), d.begin(), d.end());
    }
    const Gradients inner = attend(DotProduct{}, n, q, k, v, exchange(n, n.T, d_merged, true)).gradients;
    const Values dx = tokens_gradient(n, n.T, x, inner.at("q"), 0, gradient);
    Values d_context = tokens_gradient(n, n.S, context, inner.at("k"), 1, gradient);
    const Values from_values = tokens_gradient(n, n.S, context, inner.at("v"), 2, gradient);
    for (size_t i = 0; i < d_context.size(); ++i) d_context[i] += from_values[i];
    return {y, {{"x", dx}, {"context", d_context}}};
  }

 private:
  const Norm& norm(int which) const { return norms[norm_shared ? 0 : which]; }

  Values pull_back(int which, const double* x, const Values& dy, MlpQkv& gradient) const {
    return maps[which].pull_back(x, dy, norm(which), gradient.maps[which], gradient.norms[norm_shared ? 0 : which]);
  }

  // (B,L,H·D) to (B,H,L,D), or back.
  static Values exchange(const Sizes& n, int64_t length, const Values& from, bool to_heads) {
    Values to(from.size());
    for (int64_t b = 0; b < n.B; ++b)
      for (int64_t t = 0; t < length; ++t)
        for (int64_t c = 0; c < n.H * n.D; ++c) {
          const int64_t token = (b * length + t) * n.H * n.D + c;
          const int64_t head = ((b * n.H + c / n.D) * length + t) * n.D + c % n.D;
          to[to_heads ? head : token] = from[to_heads ? token : head];
        }
    return to;
  }

  Values heads(const Sizes& n, int64_t length, const Values& tokens, int which) const {
    Values all;
    for (int64_t row = 0; row < n.B * length; ++row) {
      const Values y = maps[which].apply(tokens.data() + row * n.C(), norm(which));
      all.insert(all.end(), y.begin(), y.end());
    }
    return exchange(n, length, all, true);
  }

  Values tokens_gradient(const Sizes& n, int64_t length, const Values& tokens, const Values& d_heads, int which,
                         MlpQkv& gradient) const {
    const Values d = exchange(n, length, d_heads, false);
    const int64_t inner_width = n.H * n.D;
    Values all;
    for (int64_t row = 0; row < n.B * length; ++row) {
      const auto begin = d.begin() + row * inner_width;
      const Values dx = pull_back(which, tokens.data() + row * n.C(), {begin, begin + inner_width}, gradient);
      all.insert(all.end(), dx.begin(), dx.end());
    }
    return all;
  }
};

// The parameters of a mixer, by their names, in the places of the reference; what the mixer lacks is 0.
template <class Visit>
void each_value(MlpQkv& mixer, const Visit& visit) {
  const char* names[] = {"query", "key", "value", "out"};
  for (int i = 0; i < 4; ++i) {
    const std::string name = names[i];
    TokenMap& map = mixer.maps[i];
    visit(name + (map.second.empty() ? ".weight" : ".hidden.weight"), map.first.weight);
    visit(name + (map.second.empty() ? ".bias" : ".hidden.bias"), map.first.bias);
    for (Layer& layer : map.second) {
      visit(name + ".out.weight", layer.weight);
      visit(name + ".out.bias", layer.bias);
    }
    if (mixer.norm_shared && i > 0) continue;
    visit(mixer.norm_shared ? "norm.weight" : name + ".norm.weight", mixer.norms[i].gain);
    visit(mixer.norm_shared ? "norm.bias" : name + ".norm.bias", mixer.norms[i].bias);
  }
}

MlpQkv zeros_of(const MlpQkvOptions& o, const Sizes& n) {
  MlpQkv mixer;
  mixer.norm_shared = o.norm_shared;
  const bool network[] = {o.q, o.k, o.v, o.o};
  const int64_t hidden = o.hidden_mult * n.C();
  const auto layer = [](int64_t out, int64_t in) {
    return Layer{"", out, in, false, Values(out * in, 0.0), Values(out, 0.0)};
  };
  for (int i = 0; i < 4; ++i) {
    const int64_t in = i == 3 ? n.H * n.D : n.C(), out = i == 3 ? n.C() : n.H * n.D;
    mixer.maps[i].first = layer(network[i] ? hidden : out, in);
    if (network[i]) mixer.maps[i].second.push_back(layer(out, hidden));
    mixer.maps[i].place = o.norm == "before"  ? NormPlace::before
                          : o.norm == "after" ? NormPlace::after
                                              : NormPlace::none;
    mixer.maps[i].mish = o.activation == "mish";
    mixer.norms[i].gain = mixer.norms[i].bias = Values(hidden, 0.0);
  }
  return mixer;
}

MlpQkv mlp_qkv_of(const MlpQkvOptions& options, const Sizes& sizes, const Parameters& parameters) {
  MlpQkv mixer = zeros_of(options, sizes);
  size_t found = 0;
  each_value(mixer, [&](const std::string& name, Values& values) {
    const auto parameter = parameters.find(name);
    if (parameter == parameters.end()) return;
    values = parameter->second->value.values<double>();
    ++found;
  });
  CHECK(found == parameters.size());
  return mixer;
}

Attention mixed(const nn::Options& any, const Parameters& parameters, const Sizes& sizes, const Values& x,
                const Values& context, const Values& g) {
  const auto& options = static_cast<const MlpQkvOptions&>(any);
  MlpQkv gradient = zeros_of(options, sizes);
  Attention result = mlp_qkv_of(options, sizes, parameters).mix_tokens(sizes, x, context, g, gradient);
  each_value(gradient, [&](const std::string& name, Values& values) {
    if (parameters.contains(name)) result.gradients[name] = values;
  });
  return result;
}

// The paper's text, Marian, RoBERTa and Ceres.
const std::map<std::string, std::string> versions{
    {"paper", "norm = 'after'"},
    {"marian", "v = false\no = true"},
    {"roberta", "norm = 'none'"},
    {"ceres", "activation = 'mish'\nhidden_mult = 1\nnorm_shared = true\noutput_bias = false"}};

MlpQkvOptions version(const std::string& name) {
  return static_cast<const MlpQkvOptions&>(*options_of("mlp_qkv", versions.at(name)));
}

// The versions; every norm and activation with several sets of networks.
Words variants() {
  Words all;
  for (const auto& [name, keys] : versions) all.push_back(keys);
  const auto word = [](bool value) { return value ? "true" : "false"; };
  for (const std::string norm : {"none", "before", "after"})
    for (const char* activation : {"relu", "mish"})
      for (const int networks : {1, 6, 8, 15})
        for (const bool shared : {false, true})
          if (!shared || norm != "none")
            all.push_back(text("q = ", word(networks & 1), "\nk = ", word(networks & 2), "\nv = ", word(networks & 4),
                               "\no = ", word(networks & 8), "\nnorm = '", norm, "'\nactivation = '", activation,
                               "'\nhidden_mult = ", 1 + networks % 2, "\nnorm_shared = ", word(shared),
                               "\noutput_bias = ", word(networks != 6)));
  return all;
}

const Registered registered({
    .mechanism = "mlp_qkv",
    .mixer = mixed,
    .rules = {implementation_rule(),
              truth("q"),
              truth("k"),
              truth("v"),
              truth("o"),
              {"norm", {"'none'", "'before'", "'after'"}, {}, choice("afte", "none, before, after", "after")},
              truth("norm_shared"),
              {"activation", {"'relu'", "'mish'"}, {}, choice("gelu", "relu, mish", "relu")},
              {"hidden_mult", {"1", "2", "3"}, {"16"}, whole_number(1, 16)},
              truth("output_bias")},
    .variants = variants()});

}  // namespace

TEST_CASE("mlp_qkv: parameters are as many as in the published models (golden 1.3.2 and 4.3a)") {
  const auto count = [](const MlpQkvOptions& options, int64_t width) {
    return make_mlp_qkv(options, {.width = width, .heads = 8})->parameter_count();
  };
  // A network of Marian has 1,052,160 parameters, one of RoBERTa 2,361,600, biases included.
  CHECK(count(version("marian"), 512) == 3 * 1'052'160 + 512 * 512);
  CHECK(count(version("roberta"), 768) == 3 * 2'361'600 + 768 * 768);
  // Against linear layers with biases: 42.63 million more in the 18 attentions of Marian, 63.76 in the 12 of RoBERTa.
  CHECK((512 * 513 == 262'656 && 768 * 769 == 590'592));
  CHECK(std::abs(18 * 3 * (1'052'160 - 262'656) - 42.63e6) <= 5e3);
  CHECK(std::abs(12 * 3 * (2'361'600 - 590'592) - 63.76e6) <= 5e3);
  // The second maps of Ceres: 3 C² a layer, 41.8 million in 34 layers of width 640. Biases and the shared norm: 5 C.
  const int64_t second = count(version("ceres"), 640) - 4 * 640 * 640 - 5 * 640;
  CHECK(second == 3 * 640 * 640);
  CHECK(std::abs(34 * second - 41.8e6) <= 5e4);
}

TEST_CASE("mlp_qkv: a token costs 18 C² operations more than with linear layers, or 6 C² (golden 1.3.5 and 4.3b)") {
  constexpr int64_t C = 64, T = 5;
  const auto operations = [](nn::TokenMixer& mixer) {
    const DryRun dry;
    mixer.initialise(1, DType::f32);
    const Tensor x = Tensor::zeros({1, T, C});
    mixer.forward(x, x, {});
    int64_t all = 0;
    for (const auto& own : dry.operations()) all += own.second;
    return all;
  };
  const MixerShape shape{.width = C, .heads = 2};
  const int64_t linear = operations(*mechanism("dot_product").make(StagedOptions(), shape));
  const auto more = [&](const char* name) { return operations(*make_mlp_qkv(version(name), shape)) - linear; };
  for (const char* name : {"marian", "roberta"}) CHECK(more(name) == 18 * C * C * T);   // 75 % of 24 C²
  CHECK(more("ceres") == 6 * C * C * T);                                                // 25 %
}

TEST_CASE("mlp_qkv: hidden units W x and -W x make a network that is the matrix W, exactly") {
  const int64_t C = 6;
  const MixerShape shape{.width = C, .heads = 2};
  const auto linear = mechanism("dot_product").make(StagedOptions(), shape), mixer = make_mlp_qkv(version("roberta"), shape);
  for (nn::TokenMixer* module : {linear.get(), mixer.get()}) {
    module->initialise(1, DType::f64);
    spread_parameters(*module, 1);
  }
  Parameters from = parameters_of(*linear), to = parameters_of(*mixer);
  to.at("out.weight")->value = from.at("out.weight")->value;
  for (const std::string name : {"query", "key", "value"}) {
    Values hidden = from.at(name + ".weight")->value.values<double>(), out(C * 2 * C, 0.0);
    for (int64_t i = 0; i < C * C; ++i) hidden.push_back(-hidden[i]);
    for (int64_t c = 0; c < C; ++c) out[c * 2 * C + c] = 1, out[c * 2 * C + C + c] = -1;
    to.at(name + ".hidden.weight")->value = Tensor::from(hidden, {2 * C, C});
    to.at(name + ".hidden.bias")->value = Tensor::zeros({2 * C}, DType::f64);
    to.at(name + ".out.weight")->value = Tensor::from(out, {C, 2 * C});
    to.at(name + ".out.bias")->value = Tensor::zeros({C}, DType::f64);
  }
  const Tensor x = random_normal({2, 5, C}, 1, "x");
  CHECK(frobenius_error(mixer->forward(x, x, {}).values<double>(), linear->forward(x, x, {}).values<double>()) <= 1e-14);
}

TEST_CASE("mlp_qkv: all versions keep the claims, but a network of the output answers a row without keys with its biases") {
  Mechanism claiming = mechanism("mlp_qkv");
  CHECK(!claiming.claims(version("marian")).padding_safe);
  claiming.claims = always(claiming.claims(version("paper")));
  for (const auto& named : versions)
    for (const Proof& proof : prove(claiming, version(named.first), 2)) {
      const std::string& name = named.first;
      CAPTURE(name);
      CAPTURE(proof.claim);
      CAPTURE(proof.evidence);
      const bool broken = name == "marian" && proof.claim == "padding_safe";
      CHECK(proof.holds == !broken);
      if (broken) CHECK(contains_text(proof.evidence, "a row without keys does not give zeros"));
      // The bias of the keys adds the same to all scores of a query; so does that of a norm behind the activation.
      const std::string without_effect = name == "paper"   ? "; without effect, gradient 0: key.norm.bias, key.out.bias"
                                         : name == "ceres" ? ""
                                                           : "; without effect, gradient 0: key.out.bias";
      if (proof.claim == "gradient") CHECK(proof.evidence.ends_with(without_effect));
      if (proof.claim == "gradient" && name == "ceres") CHECK(!contains_text(proof.evidence, "without effect"));
    }
}

TEST_CASE("mlp_qkv: options that contradict each other are refused") {
  const auto refused = [](const char* keys) {
    return message_of([&] { mechanism("mlp_qkv").make(*options_of("mlp_qkv", keys), {.width = 8, .heads = 2}); });
  };
  CHECK(refused("") == "no error");
  CHECK(refused("q = false\nk = false\nv = false") ==
        "mlp_qkv: none of q, k, v, o has a network; hint: that is dot_product");
  CHECK(refused("norm = 'none'\nnorm_shared = true") == "mlp_qkv: norm_shared needs a norm, found norm = \"none\"");
}
