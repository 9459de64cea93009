// DAPE V2: scalar loops over the picture of scores; what each of its parts is for, on every bias of places; what leaks without
// the masks, and where the length of the sequence is seen.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "attention/mechanisms/dape.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/ops.h"
#include "tensor/dry_run.h"
#include "tensor/in_place.h"
#include "tests/mechanisms/distance.h"
#include "tests/mechanisms/reference_biases.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::DotProduct;
using reference::Sizes;
using reference::Values;

// One convolution along the keys of every row: (B,C,T,S) → (B,O,T,S), y_o(s) = b_o + Σ_uc w_uco x_c(s + u − a), a keys before s.
struct RowConvolution {
  int64_t kernel, in, out, before;
  Values w, b;   // (k,C,O), (O)

  template <class Body>
  void each(const Sizes& n, const Body& body) const {   // body(x's place, y's place, w's place)
    for (int64_t bt = 0; bt < n.B * n.T; ++bt)
      for (int64_t s = 0; s < n.S; ++s)
        for (int64_t u = 0; u < kernel; ++u) {
          const int64_t from = s + u - before;
          if (from < 0 || from >= n.S) continue;
          for (int64_t c = 0; c < in; ++c)
            for (int64_t o = 0; o < out; ++o) body(at(n, in, bt, c, from), at(n, out, bt, o, s), (u * in + c) * out + o);
        }
  }
  static int64_t at(const Sizes& n, int64_t channels, int64_t bt, int64_t c, int64_t s) {
    return ((bt / n.T * channels + c) * n.T + bt % n.T) * n.S + s;
  }
  Values operator()(const Sizes& n, const Values& x) const {
    Values y(n.B * out * n.T * n.S);
    for (size_t i = 0; i < y.size(); ++i) y[i] = b[static_cast<int64_t>(i) / (n.T * n.S) % out];
    each(n, [&](int64_t i, int64_t j, int64_t k) { y[j] += w[k] * x[i]; });
    return y;
  }
  Values pull_back(const Sizes& n, const Values& x, const Values& dy, RowConvolution& gradient) const {
    Values dx(x.size(), 0.0);
    each(n, [&](int64_t i, int64_t j, int64_t k) { dx[i] += w[k] * dy[j], gradient.w[k] += x[i] * dy[j]; });
    for (size_t i = 0; i < dy.size(); ++i) gradient.b[static_cast<int64_t>(i) / (n.T * n.S) % out] += dy[i];
    return dx;
  }
};

struct ScalarDape {
  RowConvolution first, second;
  bool mask_hidden;
  std::function<double(int64_t h, int64_t t, int64_t s)> bias = nullptr;   // of places
  std::function<void(int64_t h, int64_t t, int64_t s, double dy)> into_bias = nullptr;   // takes its gradient
  bool sees_all = false;                                                   // without any mask before the convolutions

  // x (B,channels,T,S), 0 where a key is hidden; those that are later than the query only if `later`.
  Values hidden(const Sizes& n, Values x, int64_t channels, bool later) const {
    Sizes seen = n;
    seen.causal = n.causal && later;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      const int64_t b = at / (channels * n.T * n.S), t = at / n.S % n.T, s = at % n.S;
      if (!sees_all && !seen.allowed(b, t, s)) x[i] = 0;
    }
    return x;
  }

  struct Pass {
    Values U, Z, Y, L;   // the picture, C₁'s result, what C₂ reads, the logits
  };
  Pass forward(const Sizes& n, const Values& X) const {
    Values B(X.size(), 0.0), U;
    const int64_t channels = bias ? 2 * n.H : n.H;
    for (int64_t b = 0; b < n.B; ++b)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t t = 0; t < n.T; ++t)
          for (int64_t s = 0; s < n.S; ++s) {
            const int64_t h = c % n.H, place = n.pair(b, h, t, s);
            if (bias) B[place] = bias(h, t + n.offset, s);
            U.push_back(c < n.H ? X[place] : B[place]);
          }
    Pass pass;
    pass.U = hidden(n, U, channels, true);
    pass.Z = first(n, pass.U);
    pass.Y = pass.Z;
    for (double& y : pass.Y) y = y > 0 ? y : 0.01 * y;
    pass.Y = hidden(n, pass.Y, first.out, mask_hidden);
    pass.L = second(n, pass.Y);
    for (size_t i = 0; i < X.size(); ++i) pass.L[i] += X[i] + B[i];
    return pass;
  }

  Attention attend(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) const {
    const Values X = DotProduct{}.scores(n, q, k);
    const Pass pass = forward(n, X);
    const Values a = softmax(n, pass.L);
    ScalarDape zero = *this;
    for (Values* values : {&zero.first.w, &zero.first.b, &zero.second.w, &zero.second.b}) values->assign(values->size(), 0.0);
    const Values dL = score_gradient(n, a, v, g);
    Values dZ = hidden(n, second.pull_back(n, pass.Y, dL, zero.second), first.out, mask_hidden);
    for (size_t i = 0; i < dZ.size(); ++i) dZ[i] *= pass.Z[i] > 0 ? 1 : 0.01;
    const Values dU = hidden(n, first.pull_back(n, pass.U, dZ, zero.first), first.in, true);
    Values dX = dL;   // scores are the first H channels of the picture
    n.each_pair([&](auto b, auto h, auto t, auto s) {
      const auto of_channel = [&](int64_t c) { return dU[RowConvolution::at(n, first.in, b * n.T + t, c, s)]; };
      if (bias) into_bias(h, t + n.offset, s, dL[n.pair(b, h, t, s)] + of_channel(n.H + h));   // B the others
      dX[n.pair(b, h, t, s)] += of_channel(h);
    });
    Attention result{mix(n, a, v), DotProduct{}.gradients(n, q, k, dX)};
    result.gradients["v"] = value_gradient(n, a, g);
    result.gradients["first.weight"] = zero.first.w, result.gradients["first.bias"] = zero.first.b;
    result.gradients["second.weight"] = zero.second.w, result.gradients["second.bias"] = zero.second.b;
    return result;
  }
};

// With the mixer's parameters.
ScalarDape loops_of(const DapeOptions& options, const Parameters& parameters) {
  const auto convolution = [&](const std::string& name) {
    const Tensor& w = parameters.at(name + ".weight")->value;
    const Tensor& b = parameters.at(name + ".bias")->value;
    const int64_t k = w.size(0);
    return RowConvolution{k, w.size(1), w.size(2), options.padding == "before" ? k - 1 : k / 2, w.values<double>(),
                          b.values<double>()};
  };
  return {convolution("first"), convolution("second"), options.mask_hidden};
}

// Neighbouring channels, a pair, by the angle of their place: t 10000^(−2i/D) of pair i.
Values turned(const Sizes& n, const Values& x, double direction) {
  Values y(x.size());
  for (size_t i = 0; i < x.size(); i += 2) {
    const auto at = static_cast<int64_t>(i);
    const double rate = std::pow(10000.0, -static_cast<double>(at % n.D) / static_cast<double>(n.D));
    const double angle = direction * static_cast<double>(at / n.D % n.T) * rate;
    y[i] = x[i] * std::cos(angle) - x[i + 1] * std::sin(angle);
    y[i + 1] = x[i] * std::sin(angle) + x[i + 1] * std::cos(angle);
  }
  return y;
}

// Scalar loops of self-attention with these positions.
Oracle with_positions(const std::string& name, bool biased) {
  return {.mechanism = "dape", .heads = [=](const auto& options, const auto& parameters, const auto& n, const auto& q,
                                            const auto& k, const auto& v, const auto& g) {
            std::map<std::string, Values> values;
            for (const auto& [key, parameter] : parameters) values[key] = parameter->value.template values<double>();
            const reference::PlaceBias of_places{name, values, "positions.", n.H, n.causal};
            reference::Gradients of_bias;
            ScalarDape loops = loops_of(dynamic_cast<const DapeOptions&>(options), parameters);
            if (biased) {
              loops.bias = of_places;
              loops.into_bias = [&](auto h, auto t, auto s, double dy) { of_places.pull_back(h, t, s, dy, of_bias); };
            }
            const bool turn = name == "rotary";
            Attention result = loops.attend(n, turn ? turned(n, q, 1) : q, turn ? turned(n, k, 1) : k, v, g);
            for (const char* const one : {"q", "k"})
              if (turn) result.gradients[one] = turned(n, result.gradients[one], -1);
            result.gradients.merge(of_bias);
            return result;
          }};
}

const Registered registered(
    {.mechanism = "dape",
     .heads =
         [](const auto& options, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
            const auto& g) {
           return loops_of(dynamic_cast<const DapeOptions&>(options), parameters).attend(sizes, q, k, v, g);
         },
     .rules = {{"kernel", {"1", "2", "3", "4", "5", "6", "7"}, {}, whole_number(1, 7), "hidden = 4"},
               {"hidden", {"1", "5"}, {"4096"}, whole_number(1, 4096)},
               {"padding", {"'centred'", "'before'"}, {}, choice("centered", "centred, before", "centred"), "hidden = 4"},
               // Where nothing is hidden both are the same.
               {"mask_hidden", {"true", "false"}, {}, truth("mask_hidden").refused, "hidden = 4", 0, true}},
     .variants = {"hidden = 3", "kernel = 1\nhidden = 4", "kernel = 5\nhidden = 3\nmask_hidden = false",
                  "kernel = 7\nhidden = 2", "kernel = 2\nhidden = 3", "kernel = 4\nhidden = 3",
                  "kernel = 6\nhidden = 2\nmask_hidden = false", "kernel = 3\nhidden = 3\npadding = 'before'",
                  "kernel = 4\nhidden = 3\npadding = 'before'"}});

DapeOptions options_with(int64_t kernel, int64_t hidden, bool mask_hidden = true, const std::string& padding = "centred") {
  DapeOptions options;
  options.padding = padding;
  options.kernel = kernel;
  options.hidden = hidden;
  options.mask_hidden = mask_hidden;
  return options;
}

struct Made {
  Made(const DapeOptions& options, const MixerShape& shape) : options(options), mixer(make_dape(options, shape)) {
    mixer->initialise(1, DType::f64);
    spread_parameters(*mixer, 1);
  }
  void set(const std::string& name, const std::vector<double>& values) const {
    nn::Parameter& parameter = mixer->parameter_at(name);
    parameter.value = requires_grad(Tensor::from(values, parameter.shape));
  }
  Tensor output(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call = {}) const {
    return dynamic_cast<const ProjectedAttention&>(*mixer).attend(Q, K, V, call);
  }
  Tensor weights(const Tensor& Q, const Tensor& K, bool causal) const {
    nn::Call call = call_with({.causal = causal, .offset = 0, .keys = {}});
    Tensor A;
    call.recorder = [&](const std::string&, const std::string&, const Tensor& value) { A = value; };
    output(Q, K, K, call);
    return A;
  }

  DapeOptions options;
  std::unique_ptr<nn::TokenMixer> mixer;
};

Tensor heads_of(const char* site, int64_t H, int64_t N, int64_t D = 4) { return random_normal({1, H, N, D}, 3, site); }

// Q and K of one head with these scores: one-hot keys √N e_j.
std::pair<Tensor, Tensor> with_scores(const std::vector<double>& scores, int64_t N) {
  std::vector<double> k(N * N, 0.0);
  for (int64_t j = 0; j < N; ++j) k[j * N + j] = std::sqrt(static_cast<double>(N));
  return {Tensor::from(scores, {1, 1, N, N}), Tensor::from(k, {1, 1, N, N})};
}

double largest_difference(const Tensor& x, const Tensor& y) { return max(abs(sub(x, y))).item(); }

}  // namespace

TEST_CASE("dape: with the second convolution at zero it is attention with the static bias alone (property 1)") {
  const Tensor x = random_normal({2, 6, 8}, 1, "x");
  for (const auto& one : nn::all_positions)
    for (const bool causal : {false, true}) {
      const nn::Positions positions = one.first;
      CAPTURE(std::string(one.second));
      const MixerShape shape{.width = 8, .heads = 2, .positions = positions};
      const Made dape(options_with(3, 5), shape);
      fill_(dape.mixer->parameter_at("second.weight").value, 0);
      fill_(dape.mixer->parameter_at("second.bias").value, 0);
      const auto host = make_dot_product(shape);
      host->initialise(1, DType::f64);
      for (const auto& [key, parameter] : parameters_of(*host)) parameter->value = dape.mixer->parameter_at(key).value;
      const nn::Call call = call_with({.causal = causal, .offset = 0, .keys = {}});
      CHECK(dape.mixer->forward(x, x, call).values<double>() == host->forward(x, x, call).values<double>());
    }
}

TEST_CASE("dape: on every bias of places, and on turned queries and keys, it equals scalar loops, with every gradient") {
  for (const auto& one : nn::all_positions)
    for (const int64_t kernel : {1, 2, 3, 5})
      for (const bool mask_hidden : {true, false})
        for (const bool causal : {true, false}) {
          const nn::Positions positions = one.first;
          const std::string name = one.second;
          CAPTURE(kernel);
          CAPTURE(mask_hidden);
          CAPTURE(causal);
          const DapeOptions options = options_with(kernel, 3, mask_hidden);
          const Sizes n{.B = 2, .H = 2, .T = 7, .S = 7, .D = 4, .causal = causal};
          const Subject subject("dape", options, n, 1, Reach::heads, {.positions = positions});
          CHECK(subject.parameter("first.weight").shape == Shape{kernel, nn::is_bias(positions) ? 4 : 2, 3});
          const Oracle oracle = with_positions(name, nn::is_bias(positions));
          const Distance distance = from_truth(subject, subject.expected(options, oracle), name);
          INFO(distance.gradient.where, ": ", distance.gradient.error, ", output ", distance.forward.error);
          CHECK(distance.within_bounds());
        }
}

TEST_CASE("dape: a kernel of one key is a network across heads, pair by pair: DAPE V1 (property 2)") {
  const int64_t H = 3, N = 5, units = 4;
  const Made dape(options_with(1, units), {.width = 12, .heads = H, .positions = nn::Positions::alibi});
  const Tensor Q = heads_of("q", H, N), K = heads_of("k", H, N);
  const Tensor A = dape.weights(Q, K, false);
  const auto parameter = [&](const char* name) { return dape.mixer->parameter_at(name).value.values<double>(); };
  const std::vector<double> w1 = parameter("first.weight"), b1 = parameter("first.bias"), w2 = parameter("second.weight"),
                            b2 = parameter("second.bias");
  const Tensor X = affine(matmul(Q, transpose(K)), 0.5, 0);   // 1/√4
  const auto slope = [](int64_t h) { return h < 2 ? std::pow(2.0, -4.0 * static_cast<double>(h + 1)) : std::pow(2.0, -2.0); };
  Tensor L = Tensor::zeros({1, H, N, N}, DType::f64, Device::cpu);
  for (int64_t i = 0; i < N; ++i)
    for (int64_t j = 0; j < N; ++j) {
      std::vector<double> in, hidden(units);
      const auto at = [&](int64_t h) { return (h * N + i) * N + j; };
      for (int64_t h = 0; h < H; ++h) in.push_back(X.values<double>()[at(h)]);
      for (int64_t h = 0; h < H; ++h) in.push_back(-slope(h) * static_cast<double>(std::abs(i - j)));
      for (int64_t m = 0; m < units; ++m) {
        hidden[m] = b1[m];
        for (int64_t c = 0; c < 2 * H; ++c) hidden[m] += w1[c * units + m] * in[c];
        hidden[m] = hidden[m] > 0 ? hidden[m] : 0.01 * hidden[m];
      }
      for (int64_t h = 0; h < H; ++h) {
        double& l = L.data<double>()[at(h)];
        l = in[h] + in[H + h] + b2[h];
        for (int64_t m = 0; m < units; ++m) l += w2[m * H + h] * hidden[m];
      }
    }
  CHECK(frobenius_error(A.values<double>(), softmax(L).values<double>()) <= 1e-14);
}

TEST_CASE("dape: later scores change nothing; without the masks before the convolutions they would (property 3)") {
  const int64_t H = 2, N = 6, D = 4, row = 2;
  const Made dape(options_with(3, 4, false), {.width = H * D, .heads = H});
  const Sizes n{.B = 1, .H = H, .T = N, .S = N, .D = D, .causal = true};
  ScalarDape masked = loops_of(dape.options, parameters_of(*dape.mixer)), leaky = masked;
  leaky.sees_all = true;
  const Values X = random_normal({1, H, N, N}, 5, "scores").values<double>();
  Values other = X;
  for (int64_t h = 0; h < H; ++h)
    for (int64_t s = row + 1; s < N; ++s) other[n.pair(0, h, row, s)] += 3;
  const auto change = [&](const ScalarDape& loops) {   // of what row `row` puts into softmax, at the keys that it sees
    const Values a = loops.forward(n, X).L, b = loops.forward(n, other).L;
    double worst = 0;
    for (int64_t h = 0; h < H; ++h)
      for (int64_t s = 0; s <= row; ++s) worst = std::max(worst, std::fabs(a[n.pair(0, h, row, s)] - b[n.pair(0, h, row, s)]));
    return worst;
  };
  CHECK(change(masked) == 0);
  CHECK(change(leaky) > 0.5);
  // The mixer is the masked one: later keys change no bit.
  const Tensor Q = heads_of("q", H, N), K = heads_of("k", H, N), last = heads_of("other", H, N - row - 1);
  const Tensor A = slice(dape.weights(Q, K, true), 2, row, 1);
  const Tensor B = slice(dape.weights(Q, concat({slice(K, 2, 0, row + 1), last}, 2), true), 2, row, 1);
  CHECK(A.values<double>() == B.values<double>());
}

TEST_CASE("dape: a row of scores reaches its own row of weights alone (property 4)") {
  const int64_t H = 2, N = 6, row = 3;
  for (const bool causal : {false, true}) {
    const Made dape(options_with(5, 4), {.width = 8, .heads = H, .positions = nn::Positions::alibi});
    const Tensor Q = heads_of("q", H, N), K = heads_of("k", H, N);
    const Tensor changed = concat({slice(Q, 2, 0, row), heads_of("other", H, 1), slice(Q, 2, row + 1, N - row - 1)}, 2);
    const Tensor A = dape.weights(Q, K, causal), B = dape.weights(changed, K, causal);
    for (int64_t i = 0; i < N; ++i)
      CHECK((slice(A, 2, i, 1).contiguous().values<double>() == slice(B, 2, i, 1).contiguous().values<double>()) == (i != row));
  }
}

TEST_CASE("dape: with a shift by one key between, a logit is the sum of its score and the one before (property 6)") {
  const int64_t N = 3;
  const Made dape(options_with(3, 1), {.width = N, .heads = 1});
  dape.set("first.weight", {1, 0, 0});    // reads the key before
  dape.set("first.bias", {0.25});
  dape.set("second.weight", {0, 1, 0});   // reads its own place
  dape.set("second.bias", {-4});
  const auto [Q, K] = with_scores({1, 9, 9, 2, 0.5, 9, 1, 3, 0.25}, N);
  const double L[3][3] = {{1, 0, 0}, {2, 0.5 + 2, 0}, {1, 3 + 1, 0.25 + 3}};
  const std::vector<double> A = dape.weights(Q, K, true).values<double>();
  for (int64_t i = 0; i < N; ++i) {
    double total = 0;
    for (int64_t j = 0; j <= i; ++j) total += std::exp(L[i][j]);
    for (int64_t j = 0; j < N; ++j)
      CHECK(A[i * N + j] == doctest::Approx(j <= i ? std::exp(L[i][j]) / total : 0).epsilon(1e-12));
  }
}

TEST_CASE("dape: without mask_hidden the last token's score of itself alone depends on the width; with it none does (property 7)") {
  const int64_t H = 2, N = 7, D = 4, prefix = 5;
  const Values X = random_normal({1, H, N, N}, 5, "scores").values<double>();
  const Sizes whole{.B = 1, .H = H, .T = N, .S = N, .D = D, .causal = true};
  const Sizes part{.B = 1, .H = H, .T = prefix, .S = prefix, .D = D, .causal = true};
  Values shorter(H * prefix * prefix);
  part.each_pair([&](auto b, auto h, auto t, auto s) { shorter[part.pair(b, h, t, s)] = X[whole.pair(b, h, t, s)]; });
  const Tensor Q = heads_of("q", H, N), K = heads_of("k", H, N);
  for (const bool mask_hidden : {false, true}) {
    const Made dape(options_with(3, 4, mask_hidden), {.width = H * D, .heads = H});
    const ScalarDape loops = loops_of(dape.options, parameters_of(*dape.mixer));
    const Values long_one = loops.forward(whole, X).L, short_one = loops.forward(part, shorter).L;
    part.each_pair([&](auto b, auto h, auto t, auto s) {
      const double change = std::fabs(long_one[whole.pair(b, h, t, s)] - short_one[part.pair(b, h, t, s)]);
      if (!mask_hidden && t == prefix - 1 && s == prefix - 1) CHECK(change > 1e-2);
      else CHECK(change < 1e-14);
    });
    const Tensor all = slice(slice(dape.weights(Q, K, true), 2, 0, prefix), 3, 0, prefix);
    const Tensor alone = dape.weights(slice(Q, 2, 0, prefix), slice(K, 2, 0, prefix), true);
    CHECK(largest_difference(slice(all, 2, 0, prefix - 1), slice(alone, 2, 0, prefix - 1)) < 1e-14);
    CHECK((largest_difference(all, alone) > 1e-3) == !mask_hidden);
  }
}

TEST_CASE("dape: heads may change places if the channels of the convolutions do (property 8)") {
  const int64_t H = 2, N = 5;
  const MixerShape shape{.width = 8, .heads = H};
  const Made dape(options_with(3, 3), shape), other(options_with(3, 3), shape);
  const Tensor Q = heads_of("q", H, N), K = heads_of("k", H, N);
  const auto swapped = [](const Tensor& x, int axis) { return flip(x.detach(), axis).contiguous(); };
  const Tensor A = swapped(dape.weights(Q, K, true), 1);
  CHECK(largest_difference(other.weights(swapped(Q, 1), swapped(K, 1), true), A) > 1e-2);
  other.mixer->parameter_at("first.weight").value = swapped(dape.mixer->parameter_at("first.weight").value, 1);
  other.mixer->parameter_at("second.weight").value = swapped(dape.mixer->parameter_at("second.weight").value, 2);
  other.mixer->parameter_at("second.bias").value = swapped(dape.mixer->parameter_at("second.bias").value, 0);
  CHECK(largest_difference(other.weights(swapped(Q, 1), swapped(K, 1), true), A) < 1e-14);
}

TEST_CASE("dape: the order of tokens matters for a kernel of several keys, not for one of one (property 8)") {
  const Mechanism& row = mechanism("dape");
  Mechanism claiming = row;
  claiming.claims = always(Claims{.equivariant = true});
  for (const int64_t kernel : {1, 3}) {
    CHECK(row.claims(options_with(kernel, 4)).equivariant == (kernel == 1));
    CHECK(prove(claiming, options_with(kernel, 4), 1).front().holds == (kernel == 1));
    CHECK(needs_of(row, options_with(kernel, 4)) == nn::Needs{.order = kernel == 3});
  }
}

TEST_CASE("dape: a constant of the second bias does not reach the weights, so its gradient is 0 (property 9)") {
  const int64_t H = 2, N = 5;
  const Made dape(options_with(3, 4), {.width = 8, .heads = H});
  const Tensor Q = heads_of("q", H, N), K = heads_of("k", H, N);
  const Tensor A = dape.weights(Q, K, true);
  nn::Parameter& bias = dape.mixer->parameter_at("second.bias");
  const Tensor y = dape.output(Q, K, K, call_with({.causal = true, .offset = 0, .keys = {}}));
  CHECK(max(abs(grad({y}, {bias.value}, {random_normal(y.shape(), 2, "g")})[0])).item() < 1e-14);
  dape.set("second.bias", {5, -3});
  CHECK(largest_difference(dape.weights(Q, K, true), A) < 1e-14);
}

TEST_CASE("dape: every kernel keeps its claims on every bias, and streams where it says so") {
  const Mechanism& row = mechanism("dape");
  for (int64_t kernel = 1; kernel <= 7; ++kernel)
    for (const auto& [mask_hidden, padding] : std::vector<std::pair<bool, std::string>>{
             {true, "centred"}, {false, "centred"}, {true, "before"}, {false, "before"}}) {
      const DapeOptions options = options_with(kernel, 2, mask_hidden, padding);
      const Claims claims = row.claims(options);
      CHECK(claims.streaming == (mask_hidden || kernel <= 2 || padding == "before"));
      CHECK(claims.causal);
      CHECK(claims.padding_safe);
      CHECK(claims.distribution);
      const auto mixer = make_dape(options, {.width = 8, .heads = 2});
      const std::string message = message_of([&] { mixer->state(1); });
      CHECK(message == (claims.streaming ? "no error"
                                         : "state: the weights of dape's last token depend on how many tokens follow it; hint: "
                                           "set attention.mask_hidden = true"));
    }
  for (const auto& one : nn::all_positions)   // proofs of gradients with the parameters of a bias
    if (nn::is_bias(one.first)) {
      CAPTURE(std::string(one.second));
      check_all_hold(prove(row, options_with(3, 3), 1, {.width = 8, .heads = 2, .positions = one.first}));
    }
}

TEST_CASE("dape: a kernel of each size reads keys about a key, an even one one more before it, or none behind it") {
  const int64_t N = 9;
  std::vector<double> scores(N * N);
  for (int64_t i = 0; i < N * N; ++i) scores[i] = 0.5 + static_cast<double>(i * i % 11);   // above 0
  const auto [Q, K] = with_scores(scores, N);
  for (int64_t kernel = 1; kernel <= 7; ++kernel)
    for (const std::string padding : {"centred", "before"}) {
      const int64_t earlier = padding == "before" ? kernel - 1 : kernel / 2;
      for (int64_t tap = 0; tap < kernel; ++tap) {
        const Made dape(options_with(kernel, 1, true, padding), {.width = N, .heads = 1});
        Values reads(kernel, 0.0), own(kernel, 0.0);
        reads[tap] = own[earlier] = 1;
        dape.set("first.weight", reads);   // key j + tap − earlier
        dape.set("first.bias", {0});
        dape.set("second.weight", own);
        const std::vector<double> A = slice(dape.weights(Q, K, true), 2, N - 1, 1).values<double>();   // of a query that sees all
        const auto logit = [&](int64_t j) {
          const int64_t read = j + tap - earlier;
          return scores[(N - 1) * N + j] + (read >= 0 && read < N ? scores[(N - 1) * N + read] : 0);
        };
        for (int64_t j = 1; j < N; ++j) CHECK(std::abs(std::log(A[j] / A[0]) - (logit(j) - logit(0))) < 1e-12);
      }
    }
}

TEST_CASE("dape: where no later key is read, a mask between the convolutions changes no bit") {
  const Tensor Q = heads_of("q", 2, 6), K = heads_of("k", 2, 6);
  for (int64_t kernel = 1; kernel <= 7; ++kernel)
    for (const std::string padding : {"centred", "before"}) {
      const Made masked(options_with(kernel, 3, true, padding), {.width = 8, .heads = 2}),
          open(options_with(kernel, 3, false, padding), {.width = 8, .heads = 2});
      CHECK((masked.weights(Q, K, true).values<double>() == open.weights(Q, K, true).values<double>()) == open.options.streams());
    }
}

TEST_CASE("dape: parameters as said on its page (golden 2.4.2)") {
  const MixerShape shape{.width = 768, .heads = 12, .positions = nn::Positions::alibi};
  CHECK(make_dape({}, shape)->parameter_count() - make_dot_product(shape)->parameter_count() == 3500);
}

TEST_CASE("dape: the convolutions of 12 heads cost 3,456 multiplications for each pair of tokens, 2.25 times the products (golden 2.4.5)") {
  const auto mixer = make_dape({}, {.width = 768, .heads = 12, .positions = nn::Positions::alibi});
  const DryRun dry;
  mixer->initialise(1, DType::f32);
  const Tensor Q = Tensor::zeros({1, 12, 8, 64});
  dynamic_cast<const ProjectedAttention&>(*mixer).attend(Q, Q, Q, call_with({.causal = true, .offset = 0, .keys = {}}));
  int64_t operations = 0;
  for (const auto& own : dry.operations()) operations += own.second;
  CHECK(operations == 2 * 8 * 8 * (3456 + 2 * 768));
}

TEST_CASE("dape: rows of weights sum to 1, whatever the convolutions make of them (property 5)") {
  CHECK(proof_of(prove(mechanism("dape"), *mechanism("dape").options(), 3), "distribution").holds);
}
