// Efficient frequency attention: scalar loops of the whole mixer with gradients by hand, in a sequence and on a grid;
// specification 3.2.8, items 1 to 6; the Gaussians, their adjoint, what a mask hides.
#include <doctest/doctest.h>

#include "attention/gaussian_pyramid.h"
#include "attention/heads.h"
#include "attention/mechanisms/laplacian.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "tests/mechanisms/oracle.h"
#include "tests/mechanisms/reference_recurrence.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Gradients;
using reference::HeadMap;
using reference::Sizes;
using reference::Values;

Values numbers_of_gaussian(int64_t level) {   // by its definition
  const double deviation = 1.6 * std::pow(2.0, static_cast<double>(level) / 3);
  Values g;
  double total = 0;
  for (int64_t x = -level - 1; x <= level + 1; ++x) {
    g.push_back(std::exp(-static_cast<double>(x * x) / (2 * deviation * deviation)));
    total += g.back();
  }
  for (double& one : g) one /= total;
  return g;
}

// What token s gives to token t, N × N.
Values blur_matrix(int64_t level, const nn::Places& places, int64_t N) {
  const Values g = numbers_of_gaussian(level);
  const auto at = [&](int64_t distance) { return std::abs(distance) <= level + 1 ? g[distance + level + 1] : 0.0; };
  const bool grid = places.kind == nn::Places::Kind::grid;
  const int64_t alone = places.class_tokens, W = places.columns;
  Values M(N * N, 0.0);
  for (int64_t t = 0; t < N; ++t)
    for (int64_t s = 0; s < N; ++s) {
      if (!grid) M[t * N + s] = at(t - s);
      else if (t < alone || s < alone) M[t * N + s] = t == s;
      else M[t * N + s] = at((t - alone) / W - (s - alone) / W) * at((t - alone) % W - (s - alone) % W);
    }
  return M;
}

// All arrays (B,N,C), channel h·D + d of a token is d of head h. With q̂ = softmax over d, k̂ and a_i softmax over tokens:
//   c_de = Σ_s k̂_sd v_se,  o_te = Σ_d q̂_td c_de,  A_de = Σ_i Σ_s a_i,sd L_i,se (softmax over e where i = 0),  f_te = Σ_d q̂_td A_de
//   y = w₁ (o W + b) + w₂ f
Attention whole_mixer(const LaplacianOptions& options, const Parameters& parameters, const Sizes& n, const nn::Places& places,
                      const Values& x, const Values& g) {
  const int64_t B = n.B, N = n.S, H = n.H, D = n.D, inner = H * D, C = n.C(), P = options.levels;
  const auto there = [&](int64_t b, int64_t t) { return n.present.empty() || n.present[b * N + t] != 0; };
  const auto visible = [&](Values all) {
    const int64_t width = static_cast<int64_t>(all.size()) / (B * N);
    for (int64_t i = 0; i < static_cast<int64_t>(all.size()); ++i)
      if (!there(i / (width * N), i / width % N)) all[i] = 0;
    return all;
  };
  const Values seen = visible(x);
  HeadMap query(parameters, "query", H), key(parameters, "key", H), value(parameters, "value", H), out(parameters, "out", 1);
  const Values q = visible(query.to_heads(x)), k = key.to_heads(seen), v = value.to_heads(seen);
  const auto softmax_channels = [&](const Values& all) {
    Values y(all.size());
    for (size_t at = 0; at < all.size(); at += D) {
      double total = 0;
      for (int64_t d = 0; d < D; ++d) total += std::exp(all[at + d]);
      for (int64_t d = 0; d < D; ++d) y[at + d] = std::exp(all[at + d]) / total;
    }
    return y;
  };
  const auto softmax_tokens = [&](const Values& all) {
    Values y(all.size(), 0.0);
    for (int64_t b = 0; b < B; ++b)
      for (int64_t c = 0; c < inner; ++c) {
        double total = 0;
        for (int64_t s = 0; s < N; ++s)
          if (there(b, s)) total += std::exp(all[(b * N + s) * inner + c]);
        for (int64_t s = 0; s < N; ++s)
          if (there(b, s)) y[(b * N + s) * inner + c] = std::exp(all[(b * N + s) * inner + c]) / total;
      }
    return y;
  };
  // body(b, h, d, e, context index) of all contexts (B,H,D,D)
  const auto each_pair = [&](const auto& body) {
    for (int64_t b = 0; b < B; ++b)
      for (int64_t h = 0; h < H; ++h)
        for (int64_t d = 0; d < D; ++d)
          for (int64_t e = 0; e < D; ++e) body(b, h * D + d, h * D + e, ((b * H + h) * D + d) * D + e);
  };
  const auto product = [&](const Values& a, const Values& y) {   // Σ_s a_sd y_se
    Values context(B * H * D * D, 0.0);
    each_pair([&](int64_t b, int64_t d, int64_t e, int64_t at) {
      for (int64_t s = 0; s < N; ++s) context[at] += a[(b * N + s) * inner + d] * y[(b * N + s) * inner + e];
    });
    return context;
  };
  const auto read = [&](const Values& shares, const Values& context) {   // Σ_d q̂_td c_de
    Values y(B * N * inner, 0.0);
    each_pair([&](int64_t b, int64_t d, int64_t e, int64_t at) {
      for (int64_t t = 0; t < N; ++t) y[(b * N + t) * inner + e] += shares[(b * N + t) * inner + d] * context[at];
    });
    return y;
  };
  const auto times = [&](const Values& M, const Values& y, bool transposed) {   // of tokens
    Values z(y.size(), 0.0);
    for (int64_t b = 0; b < B; ++b)
      for (int64_t t = 0; t < N; ++t)
        for (int64_t s = 0; s < N; ++s)
          for (int64_t c = 0; c < C; ++c)
            z[(b * N + t) * C + c] += (transposed ? M[s * N + t] : M[t * N + s]) * y[(b * N + s) * C + c];
    return z;
  };

  const Values qh = softmax_channels(q), kh = softmax_tokens(k), context = product(kh, v), o = read(qh, context);
  const Values efficient = out.to_heads(o);
  std::vector<Values> G{seen}, bands{seen}, shares;
  for (int64_t i = 1; i < P; ++i) {
    G.push_back(visible(times(blur_matrix(i - 1, places, N), G.back(), false)));
    bands.push_back(G[i - 1]);
    for (size_t j = 0; j < seen.size(); ++j) bands[i][j] -= G[i][j];
  }
  Values A(B * H * D * D, 0.0), first;
  for (int64_t i = 0; i < P; ++i) {
    shares.push_back(softmax_tokens(bands[i]));
    Values own = product(shares[i], bands[i]);
    if (i == 0 && options.first_softmax) {
      own = softmax_channels(own);
      for (size_t j = 0; j < own.size(); ++j) {
        const auto b = static_cast<int64_t>(j) / (H * D * D);
        bool any = false;
        for (int64_t s = 0; s < N; ++s) any = any || there(b, s);
        if (!any) own[j] = 0;
      }
      first = own;
    }
    for (size_t j = 0; j < A.size(); ++j) A[j] += own[j];
  }
  const bool learned = P > 0 && options.fusion == "learned";
  const Values frequency = P > 0 ? read(qh, A) : Values(efficient.size(), 0.0);
  const Values w = learned ? parameters.at("fusion")->value.values<double>() : Values(2 * C, 1.0);
  Attention result{Values(efficient.size()), {}};
  for (size_t j = 0; j < efficient.size(); ++j)
    result.output[j] = w[j % C] * efficient[j] + w[C + j % C] * frequency[j];

  // Back from g.
  const auto slope_over_channels = [&](const Values& y, const Values& dy) {
    Values dx(y.size());
    for (size_t at = 0; at < y.size(); at += D) {
      double along = 0;
      for (int64_t d = 0; d < D; ++d) along += y[at + d] * dy[at + d];
      for (int64_t d = 0; d < D; ++d) dx[at + d] = y[at + d] * (dy[at + d] - along);
    }
    return dx;
  };
  const auto slope_over_tokens = [&](const Values& y, const Values& dy) {
    Values dx(y.size());
    for (int64_t b = 0; b < B; ++b)
      for (int64_t c = 0; c < inner; ++c) {
        double along = 0;
        for (int64_t s = 0; s < N; ++s) along += y[(b * N + s) * inner + c] * dy[(b * N + s) * inner + c];
        for (int64_t s = 0; s < N; ++s) {
          const int64_t i = (b * N + s) * inner + c;
          dx[i] = y[i] * (dy[i] - along);
        }
      }
    return dx;
  };
  Values d_efficient(g.size()), d_frequency(g.size()), dw(2 * C, 0.0);
  for (size_t j = 0; j < g.size(); ++j) {
    d_efficient[j] = w[j % C] * g[j];
    d_frequency[j] = w[C + j % C] * g[j];
    dw[j % C] += g[j] * efficient[j];
    dw[C + j % C] += g[j] * frequency[j];
  }
  Values d_o(o.size(), 0.0), dx(x.size(), 0.0), d_seen(x.size(), 0.0), d_qh(qh.size(), 0.0), d_kh(kh.size(), 0.0),
      dv(v.size(), 0.0), d_context(context.size(), 0.0), dA(A.size(), 0.0);
  out.pull_back(o, d_efficient, d_o);
  each_pair([&](int64_t b, int64_t d, int64_t e, int64_t at) {
    for (int64_t t = 0; t < N; ++t) {
      const int64_t td = (b * N + t) * inner + d, te = (b * N + t) * inner + e;
      d_qh[td] += d_o[te] * context[at];
      d_context[at] += qh[td] * d_o[te];
      if (P == 0) continue;
      d_qh[td] += d_frequency[te] * A[at];
      dA[at] += qh[td] * d_frequency[te];
    }
    for (int64_t s = 0; s < N; ++s) {
      const int64_t sd = (b * N + s) * inner + d, se = (b * N + s) * inner + e;
      d_kh[sd] += d_context[at] * v[se];
      dv[se] += kh[sd] * d_context[at];
    }
  });
  std::vector<Values> dG(P, Values(seen.size(), 0.0));
  for (int64_t i = 0; i < P; ++i) {
    const Values own = i == 0 && options.first_softmax ? slope_over_channels(first, dA) : dA;
    Values d_shares(seen.size(), 0.0), d_band(seen.size(), 0.0);
    each_pair([&](int64_t b, int64_t d, int64_t e, int64_t at) {
      for (int64_t s = 0; s < N; ++s) {
        const int64_t sd = (b * N + s) * inner + d, se = (b * N + s) * inner + e;
        d_shares[sd] += own[at] * bands[i][se];
        d_band[se] += shares[i][sd] * own[at];
      }
    });
    const Values through_softmax = slope_over_tokens(shares[i], d_shares);
    for (size_t j = 0; j < seen.size(); ++j) {
      const double d = d_band[j] + through_softmax[j];
      dG[std::max<int64_t>(i - 1, 0)][j] += d;
      if (i > 0) dG[i][j] -= d;
    }
  }
  for (int64_t i = P - 1; i > 0; --i) {
    const Values before = times(blur_matrix(i - 1, places, N), visible(dG[i]), true);
    for (size_t j = 0; j < before.size(); ++j) dG[i - 1][j] += before[j];
  }
  query.pull_back(x, visible(slope_over_channels(qh, d_qh)), dx);
  key.pull_back(seen, slope_over_tokens(kh, d_kh), d_seen);
  value.pull_back(seen, dv, d_seen);
  for (size_t j = 0; j < d_seen.size() && P > 0; ++j) d_seen[j] += dG[0][j];
  d_seen = visible(d_seen);
  for (size_t j = 0; j < dx.size(); ++j) dx[j] += d_seen[j];
  result.gradients["x"] = dx;
  if (learned) result.gradients["fusion"] = dw;
  for (const HeadMap& map : {query, key, value, out}) map.add_gradients(result.gradients);
  return result;
}

const Registered registered(
    {.mechanism = "laplacian",
     .mixer =
         [](const auto& any, const auto& parameters, const auto& sizes, const auto& x, const auto&, const auto& g) {
           return whole_mixer(static_cast<const LaplacianOptions&>(any), parameters, sizes, {}, x, g);
         },
     .rules = {{"levels", {"0", "1", "2", "3"}, {"8"}, whole_number(0, 8)},
               truth("first_softmax"),
               {"fusion", {"'learned'", "'sum'"}, {}, choice("sums", "learned, sum", "sum")}},
     .variants = {"", "levels = 0", "levels = 1", "levels = 4\nfirst_softmax = false", "levels = 2\nfusion = 'sum'"}});

LaplacianOptions with_levels(int64_t levels) {
  LaplacianOptions options;
  options.levels = levels;
  return options;
}

nn::Places grid_of(int64_t class_tokens, int64_t rows, int64_t columns) {
  return {.kind = nn::Places::Kind::grid, .class_tokens = class_tokens, .rows = rows, .columns = columns};
}

const MixerShape in_sequence{.width = 8, .heads = 2};

std::unique_ptr<ProjectedAttention> mixer_of(const LaplacianOptions& options, const MixerShape& shape = in_sequence) {
  auto mixer = make_laplacian(options, shape);
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  return mixer;
}

double distance_of(const Tensor& x, const Tensor& y) { return frobenius_error(x.values<double>(), y.values<double>()); }
double largest(const Tensor& x) { return max(abs(x)).item(); }

// Of one sample without the efficient branch: Q̂ A, one head of four channels.
Tensor frequency_alone(const LaplacianOptions& options, const Tensor& x) {
  const auto mixer = mixer_of(options, {.width = x.size(2), .heads = 1});
  const Tensor zero = Tensor::zeros({1, x.size(2)}, DType::f64), one = affine(zero, 1, 1);
  mixer->parameter_at("fusion").value = concat({zero, one}, 0);
  return mixer->forward(x, x, {});
}

const std::vector<uint8_t> some_present{1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1};   // (2,7)

}  // namespace

TEST_CASE("laplacian: efficient attention is the explicit matrix, whose rows are ≥ 0 and sum to 1 (property 1)") {
  const auto mixer = mixer_of(with_levels(0));
  const Tensor Q = random_normal({2, 2, 7, 4}, 1, "Q"), K = random_normal({2, 2, 7, 4}, 1, "K"),
               V = random_normal({2, 2, 7, 4}, 1, "V");
  for (const Mask& mask : {Mask{}, Mask{.keys = Tensor::from(some_present, {2, 7})}}) {
    const Tensor A = matmul(softmax(Q), softmax(transpose(K), mask));
    for (const double weight : A.values<double>()) CHECK(weight >= 0);
    CHECK(distance_of(sum(A, -1), Tensor::full({2, 2, 7}, 1, DType::f64)) <= 1e-15);
    CHECK(distance_of(mixer->attend(Q, K, V, call_with(mask)), matmul(A, V)) <= 1e-14);
    nn::Call listening = call_with(mask);
    Tensor recorded;
    listening.recorder = [&](const std::string&, const std::string& name, const Tensor& value) {
      if (name == "weights") recorded = value;
    };
    CHECK(distance_of(mixer->attend(Q, K, V, listening), matmul(A, V)) <= 1e-14);
    CHECK(distance_of(recorded, A) <= 1e-15);
  }
}

TEST_CASE("laplacian: constant values come out as they are, everywhere (property 2)") {
  const Tensor Q = random_normal({2, 2, 7, 4}, 1, "Q"), K = random_normal({2, 2, 7, 4}, 1, "K"),
               V = expand(random_normal({2, 2, 1, 4}, 1, "V"), {2, 2, 7, 4});
  CHECK(distance_of(mixer_of({})->attend(Q, K, V, {}), V) <= 1e-15);
}

TEST_CASE("laplacian: bands telescope: their sum is the tokens less the last blur (property 3)") {
  const Tensor x = random_normal({2, 7, 4}, 1, "x");
  for (const nn::Places& places : {nn::Places{}, grid_of(1, 2, 3)})
    for (const Mask& mask : {Mask{}, Mask{.keys = Tensor::from(some_present, {2, 7})}}) {
      const std::vector<Tensor> bands = laplacian_bands(x, 4, places, mask);
      REQUIRE(bands.size() == 4);
      Tensor last = bands[0];
      for (int64_t level = 0; level < 3; ++level) last = blurred(last, level, places, mask);
      CHECK(distance_of(add(add(bands[1], bands[2]), bands[3]), sub(bands[0], last)) <= 1e-14);
    }
}

TEST_CASE("laplacian: with one band the rows of its context sum to 1; a weight of 0 leaves efficient attention (property 4)") {
  const Tensor x = random_normal({2, 7, 4}, 1, "x");
  const Tensor rows = sum(frequency_alone(with_levels(1), x), -1);   // Σ_e Σ_d q̂_d A_de
  CHECK(distance_of(rows, Tensor::full({2, 7}, 1, DType::f64)) <= 1e-15);
  CHECK(distance_of(sum(frequency_alone(with_levels(2), x), -1), rows) > 1e-3);

  const Tensor y = random_normal({2, 7, 8}, 1, "y");
  const auto both = mixer_of({}), efficient = mixer_of(with_levels(0));
  const Tensor zero = Tensor::zeros({1, 8}, DType::f64);
  both->parameter_at("fusion").value = concat({affine(zero, 1, 1), zero}, 0);
  CHECK(both->forward(y, y, {}).values<double>() == efficient->forward(y, y, {}).values<double>());
}

TEST_CASE("laplacian: the Gaussians are those of the specification, and a delta goes through the pyramid as their product (property 5; golden 3.2.2)") {
  const std::vector<Values> halves{{0.310975, 0.378050},
                                   {0.153169, 0.221552, 0.250559},
                                   {0.093688, 0.138036, 0.174172, 0.188209},
                                   {0.067784, 0.095404, 0.121786, 0.140999, 0.148054}};
  for (size_t level = 0; level < halves.size(); ++level) {
    const std::vector<double> g = gaussian(static_cast<int64_t>(level));
    REQUIRE(g.size() == 2 * level + 3);
    double total = 0;
    for (size_t i = 0; i < g.size(); ++i) {
      CHECK(std::abs(g[i] - halves[level][std::min(i, g.size() - 1 - i)]) <= 5.1e-7);
      total += g[i];
    }
    CHECK(total == doctest::Approx(1).epsilon(1e-15));
  }
  const int64_t side = 9, middle = side * side / 2;
  const Tensor delta = pad(Tensor::full({1, 1, 1}, 1, DType::f64), 1, middle, middle);
  const nn::Places grid = grid_of(0, side, side);
  const Values once = blurred(delta, 0, grid, {}).values<double>();
  const Values twice = blurred(blurred(delta, 0, grid, {}), 1, grid, {}).values<double>();
  Values g = gaussian(0), both(7, 0.0);   // one after the other is one of 7
  for (int64_t i = 0; i < 3; ++i)
    for (int64_t j = 0; j < 5; ++j) both[i + j] += g[i] * gaussian(1)[j];
  for (int64_t row = -4; row <= 4; ++row)
    for (int64_t column = -4; column <= 4; ++column) {
      const int64_t at = (row + 4) * side + column + 4;
      const auto in = [&](const Values& kernel, int64_t i) {
        const int64_t k = i + static_cast<int64_t>(kernel.size()) / 2;
        return k < 0 || k >= static_cast<int64_t>(kernel.size()) ? 0.0 : kernel[k];
      };
      CHECK(std::abs(once[at] - in(g, row) * in(g, column)) <= 1e-16);
      CHECK(std::abs(twice[at] - in(both, row) * in(both, column)) <= 1e-16);
    }
}

TEST_CASE("laplacian: bands that are 0 add exactly 0 to the context (property 6)") {
  const Tensor zero = Tensor::zeros({1, 6, 4}, DType::f64);
  CHECK(frequency_alone(with_levels(4), zero).values<double>() == frequency_alone(with_levels(1), zero).values<double>());
  LaplacianOptions raw = with_levels(4);
  raw.first_softmax = false;
  CHECK(largest(frequency_alone(raw, zero)) == 0);
}

TEST_CASE("laplacian: a blur is its own adjoint, in a sequence, on a grid with class tokens, and under padding") {
  const Tensor x = random_normal({2, 7, 3}, 1, "x"), y = random_normal({2, 7, 3}, 1, "y");
  for (const nn::Places& places : {nn::Places{}, grid_of(1, 2, 3)})
    for (const Mask& mask : {Mask{}, Mask{.keys = Tensor::from(some_present, {2, 7})}})
      for (const int64_t level : {0, 1, 3}) {
        const double there = sum(mul(blurred(x, level, places, mask), y)).item(),
                     back = sum(mul(x, blurred(y, level, places, mask))).item();
        CHECK(there == doctest::Approx(back).epsilon(1e-13));
        const Tensor leaf = requires_grad(x);
        CHECK(distance_of(grad({blurred(leaf, level, places, mask)}, {leaf}, {y})[0], blurred(y, level, places, mask)) <= 1e-14);
      }
}

TEST_CASE("laplacian: constant features have bands at the edges of a grid alone, since what lies outside is 0") {
  const Tensor ones = Tensor::full({1, 26, 1}, 1, DType::f64);
  const Values band = laplacian_bands(ones, 2, grid_of(1, 5, 5), {})[1].values<double>();
  CHECK(band[0] == 0);   // a class token is not blurred
  for (int64_t cell = 0; cell < 25; ++cell) {
    const bool edge = cell / 5 % 4 == 0 || cell % 5 % 4 == 0;
    CHECK((std::abs(band[1 + cell]) > 0.1) == edge);
    if (!edge) CHECK(std::abs(band[1 + cell]) <= 1e-15);
  }
}

TEST_CASE("laplacian: on a grid it equals scalar loops, with every gradient, padding and class tokens too") {
  for (const int64_t levels : {0, 1, 4}) {
    const LaplacianOptions options = with_levels(levels);
    const nn::Places grid = grid_of(1, 2, 3);
    const auto mixer = mixer_of(options, {.width = 8, .heads = 2, .biases = true, .places = grid});
    const Parameters parameters = parameters_of(*mixer);
    for (const bool padded : {false, true}) {
      const Sizes n{.B = 2, .H = 2, .T = 7, .S = 7, .D = 4, .present = padded ? some_present : std::vector<uint8_t>()};
      const Mask mask{.keys = padded ? Tensor::from(some_present, {2, 7}) : Tensor()};
      const Tensor x = requires_grad(random_normal({2, 7, 8}, 1, "x")), g = random_normal({2, 7, 8}, 1, "g");
      const Tensor y = mixer->forward(x, x, call_with(mask));
      const Attention expected = whole_mixer(options, parameters, n, grid, x.values<double>(), g.values<double>());
      CHECK(frobenius_error(y.values<double>(), expected.output) <= 1e-14);
      std::vector<std::string> names{"x"};
      std::vector<Tensor> leaves{x};
      for (const auto& [name, parameter] : parameters) {
        names.push_back(name);
        leaves.push_back(parameter->value);
      }
      const std::vector<Tensor> found = grad({y}, leaves, {g});
      for (size_t i = 0; i < names.size(); ++i) {
        CAPTURE(names[i]);
        CHECK(frobenius_error(found[i].values<double>(), expected.gradients.at(names[i])) <= 1e-12);
      }
    }
  }
}

TEST_CASE("laplacian: permuted tokens permute outputs up to one band, not beyond, and it says so") {
  for (const int64_t levels : {0, 1, 2}) {
    Mechanism claiming = mechanism("laplacian");
    CHECK(claiming.claims(with_levels(levels)).equivariant == (levels < 2));
    claiming.claims = always(Claims{.equivariant = true});
    CHECK(prove(claiming, with_levels(levels), 1).front().holds == (levels < 2));
  }
}

TEST_CASE("laplacian: what a padded token holds, NaN included, reaches no other token") {
  const auto mixer = mixer_of({});
  const Tensor x = random_normal({2, 7, 8}, 1, "x"), present = Tensor::from(some_present, {2, 7});
  const Tensor condition = reshape(present, {2, 7, 1});
  const auto y_of = [&](double hidden) {
    const Tensor tokens = where(condition, x, Tensor::full({}, hidden, DType::f64));
    return where(condition, mixer->forward(tokens, tokens, call_with({.keys = present})), Tensor::zeros({}, DType::f64));
  };
  const Values clean = y_of(0).values<double>();
  CHECK(y_of(1e300).values<double>() == clean);
  CHECK(y_of(std::numeric_limits<double>::quiet_NaN()).values<double>() == clean);
}

TEST_CASE("laplacian: what does not fit is refused") {
  const Tensor x = random_normal({1, 5, 8}, 1, "x");
  const auto called = [&](nn::TokenMixer& mixer, const Mask& mask) {
    return message_of([&] { mixer.forward(x, x, call_with(mask)); });
  };
  CHECK(called(*mixer_of({}, {.width = 8, .heads = 2, .places = grid_of(1, 2, 3)}), {}) ==
        "laplacian: the grid has 7 tokens, got 5");
  CHECK(mixer_of({})->needs() == nn::Needs{.self = true, .all_tokens = true, .whole_width = true, .any_distance = true, .order = true});
  CHECK(!mixer_of(with_levels(0))->needs().whole_width);
  CHECK(mixer_of(with_levels(1))->needs().whole_width);
  const MixerShape wide{.width = 8, .heads = 2, .head_width = 6};
  CHECK(message_of([&] { nn::require_met("vit", make_laplacian({}, wide)->needs(), wide); }) ==
        "vit: the attention of block 0 needs heads that have the 8 channels of a token together, got 2 of 6");
}

TEST_CASE("laplacian: a token among padding is a sequence of one, and takes no places but those of its grid") {
  const auto mixer = mixer_of({});
  const Tensor x = random_normal({1, 4, 8}, 1, "x"), alone = slice(x, 1, 0, 1);
  const Tensor padded = mixer->forward(x, x, call_with({.keys = Tensor::from(std::vector<uint8_t>{1, 0, 0, 0}, {1, 4})}));
  CHECK(distance_of(slice(padded, 1, 0, 1), mixer->forward(alone, alone, {})) <= 1e-14);
  for (const auto& [positions, name] : nn::all_positions)
    CHECK(mixer->accepts(positions) == (positions == nn::Positions::none));
}
