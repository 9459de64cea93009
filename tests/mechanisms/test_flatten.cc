// Focused linear attention beside its scalar loops (reference_flatten.h); specification 3.3.8, items 1 to 5; windows of a grid,
// padding, and how far a causal convolution looks.
#include <doctest/doctest.h>

#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "attention/mechanisms/flatten.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "tests/mechanisms/distance.h"
#include "tests/mechanisms/reference_flatten.h"

using namespace tapir;

namespace {

using reference::Attention;
using reference::Sizes;
using reference::Values;

HeadsReference loops_at(const nn::Places& places) {
  return [places](const auto& any, const auto& parameters, const auto& sizes, const auto& q, const auto& k, const auto& v,
                  const auto& g) {
    return reference::attend_focused(static_cast<const FlattenOptions&>(any), parameters, sizes, places, q, k, v, g);
  };
}

Refusals numbers_beside_0_to_1() {
  return {{"-1e-9", "must be a number in 0 … 1, found -1e-09"}, {"1.1", "must be a number in 0 … 1, found 1.1"},
          {"nan", "must be a number in 0 … 1, found nan"}, {"'1'", "must be a number in 0 … 1, found '1'"}};
}

const Registered registered(
    {.mechanism = "flatten",
     .heads = loops_at({}),
     .rules = {{"power", {"1", "2", "3", "8"}, {"64"}, whole_number(1, 64)},
               {"kernel", {"0", "1", "3", "5"}, {"63"}, whole_number(0, 63)},
               {"norm", {"'head'", "'all'"}, {}, choice("heads", "head, all", "head")},
               truth("shared_kernel"),
               truth("channel_scale"),
               {"key_positions", {"false"}, {}, truth("").refused},   // true: on a grid alone, below
               {"epsilon", {"0", "0.1", "1"}, {}, numbers_beside_0_to_1()},
               chunk_rule()},
     .variants = {"chunk = 3", "kernel = 0\nchunk = 3", "kernel = 1\npower = 1",
                  "norm = 'all'\nshared_kernel = true\nchannel_scale = true\nepsilon = 1e-6\nchunk = 3",
                  "channel_scale = true\nkernel = 3\npower = 2\nepsilon = 0.1"}});

FlattenOptions released() {   // the authors' code, without positions
  FlattenOptions options;
  options.norm = "all";
  options.shared_kernel = options.channel_scale = true;
  options.epsilon = 1e-6;
  return options;
}

FlattenOptions with_kernel(int64_t kernel, FlattenOptions options = {}) {
  options.kernel = kernel;
  return options;
}

MixerShape on_grid(int64_t class_tokens, int64_t rows, int64_t columns) {
  return {.width = 8, .heads = 2,
          .places = {.kind = nn::Places::Kind::grid, .class_tokens = class_tokens, .rows = rows, .columns = columns}};
}

std::unique_ptr<StateAttention> mixer_of(const FlattenOptions& options, const MixerShape& shape = {.width = 8, .heads = 2}) {
  auto mixer = make_flatten(options, shape);
  mixer->initialise(1, DType::f64);
  spread_parameters(*mixer, 1);
  return mixer;
}

struct Drawn {
  explicit Drawn(int64_t T = 7, int64_t D = 4) : shape{2, 2, T, D} {}
  Shape shape;
  Tensor Q = random_normal(shape, 1, "Q"), K = random_normal(shape, 1, "K"), V = random_normal(shape, 1, "V");

  Tensor through(const StateAttention& mixer, const Mask& mask = {}) const { return mixer.attend(Q, K, V, call_with(mask)); }
};

double distance_of(const Tensor& x, const Tensor& y) { return frobenius_error(x.values<double>(), y.values<double>()); }
double largest(const Tensor& x) { return max(abs(x)).item(); }

Tensor recorded_weights(const StateAttention& mixer, const Drawn& x) {
  Tensor A;
  nn::Call call;
  call.recorder = [&](const std::string&, const std::string& name, const Tensor& value) {
    if (name == "weights") A = value;
  };
  mixer.attend(x.Q, x.K, x.V, call);
  return A;
}

// The kernel that returns its middle value, and no bias.
void set_delta(nn::Module& mixer, const std::string& convolution) {
  nn::Parameter &weight = mixer.parameter_at(convolution + ".weight"), &bias = mixer.parameter_at(convolution + ".bias");
  const int64_t channels = weight.shape[-1], window = weight.shape.elements() / channels;
  Values delta(window * channels, 0.0);
  std::fill_n(delta.begin() + window / 2 * channels, channels, 1.0);
  weight.value = requires_grad(Tensor::from(delta, weight.shape));
  bias.value = requires_grad(Tensor::zeros(bias.shape, DType::f64));
}

// Rows that are independent, by elimination with full pivots, of a (T,S) matrix.
int64_t rank_of(Values a, int64_t T, int64_t S) {
  int64_t rank = 0;
  for (; rank < std::min(T, S); ++rank) {
    int64_t best = rank * S + rank;
    for (int64_t i = rank; i < T; ++i)
      for (int64_t j = rank; j < S; ++j)
        if (std::abs(a[i * S + j]) > std::abs(a[best])) best = i * S + j;
    if (std::abs(a[best]) < 1e-12) break;
    const int64_t row = best / S, column = best % S;
    for (int64_t j = 0; j < S; ++j) std::swap(a[rank * S + j], a[row * S + j]);
    for (int64_t i = 0; i < T; ++i) std::swap(a[i * S + rank], a[i * S + column]);
    for (int64_t i = rank + 1; i < T; ++i) {
      const double factor = a[i * S + rank] / a[rank * S + rank];
      for (int64_t j = 0; j < S; ++j) a[i * S + j] -= factor * a[rank * S + j];
    }
  }
  return rank;
}

const Mask causal{.causal = true, .offset = 0, .keys = {}};

}  // namespace

TEST_CASE("flatten: f keeps the length, f₁ is the identity, and its values are those of the paper's formula (property 1; golden 3.3.8)") {
  const Tensor x = abs(random_normal({6, 5}, 1, "x"));
  for (const int64_t p : {1, 2, 3, 8, 32}) CHECK(distance_of(norm(focused(x, p), 2, -1), norm(x, 2, -1)) <= 1e-14);
  CHECK(distance_of(focused(x, 1), x) <= 1e-15);
  const auto check_values = [](const Values& in, const Values& expected) {
    const Values found = focused(relu(Tensor::from(in, {3})), 3).values<double>();
    for (size_t i = 0; i < 3; ++i) CHECK(std::abs(found[i] - expected[i]) <= 1e-10);   // ten digits, some cut off
  };
  check_values({1, 2, 3}, {0.1327864519, 1.0622916154, 3.5852342019});
  check_values({1, -2, 0.5}, {1.1094003925, 0, 0.1386750490});
}

TEST_CASE("flatten: numbers of any size are focused without underflow or overflow, and zeros stay zeros without a gradient") {
  const Tensor x = Tensor::from(std::vector<float>{1, 2, 3}, {3});
  for (const double size : {1e-36, 1e-20, 1.0, 1e20, 1e37}) {
    CAPTURE(size);
    const Tensor y = affine(focused(affine(x, size, 0), 3), 1 / size, 0).to(DType::f64);
    CHECK(distance_of(y, focused(x.to(DType::f64), 3)) <= 1e-6);
  }
  const Tensor none = requires_grad(Tensor::zeros({2, 3}, DType::f64)), y = focused(none, 3);
  CHECK(largest(y) == 0);
  CHECK(largest(grad({sum(y)}, {none})[0]) == 0);
}

TEST_CASE("flatten: f has the right first and second derivatives") {
  const Function f = [](const std::vector<Tensor>& in) { return focused(in[0], 3); };
  const std::vector<Tensor> inputs{affine(abs(random_normal({3, 4}, 1, "x")), 1, 0.1)};
  for (const GradcheckResult& check : {gradcheck("focused", f, inputs), gradgradcheck("focused", f, inputs)})
    CHECK_MESSAGE(check.passed, check.report);
}

TEST_CASE("flatten: sums equal the explicit matrix, whose rows sum to c/(c + ε), entries ≥ 0 (property 2)") {
  const Drawn x;
  const Tensor present = Tensor::from<uint8_t>({1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0, 0}, {2, 7});
  for (const FlattenOptions& options : {FlattenOptions(), released()}) {
    const auto mixer = mixer_of(options);
    for (const Mask& mask : {Mask{}, causal, Mask{.causal = false, .offset = 0, .keys = present},
                             Mask{.causal = true, .offset = 0, .keys = present}}) {
      nn::Call listening = call_with(mask);
      listening.recorder = [](const std::string&, const std::string&, const Tensor&) {};
      CHECK(distance_of(x.through(*mixer, mask), mixer->attend(x.Q, x.K, x.V, listening)) <= 1e-13);
    }
    const Values A = recorded_weights(*mixer, x).values<double>();
    for (const double weight : A) CHECK(weight >= 0);
  }
  FlattenOptions options;
  options.epsilon = 0.01;
  const auto mixer = mixer_of(options);
  const auto feature = [](const Tensor& t) { return focused(affine(relu(t), 1, 0.01), 3); };
  const Tensor c = matmul(feature(x.Q), transpose(mean(feature(x.K), 2, true)));   // q·k̄
  CHECK(distance_of(sum(recorded_weights(*mixer, x), -1, true), div(c, affine(c, 1, 0.01))) <= 1e-14);
}

TEST_CASE("flatten: with p → ∞ all of the length goes to the largest channel (property 3)") {
  const Tensor x = Tensor::from(std::vector<double>{1, 4, 2, 0.5, 0.2, 3, 1, 2}, {2, 4});
  const Values y = focused(x, 64).values<double>(), length = norm(x, 2, -1).values<double>();
  const Values expected{0, length[0], 0, 0, 0, length[1], 0, 0};
  for (size_t i = 0; i < y.size(); ++i) CHECK(std::abs(y[i] - expected[i]) <= 1e-10);
}

TEST_CASE("flatten: the matrix of weights has rank D, with the convolution all; a centred delta adds V (property 4)") {
  const Drawn x(9, 3);
  const MixerShape shape{.width = 6, .heads = 2};
  const auto plain = mixer_of(with_kernel(0), shape), mixer = mixer_of({}, shape);
  const Values A = recorded_weights(*plain, x).values<double>();
  CHECK(rank_of(Values(A.begin(), A.begin() + 81), 9, 9) == 3);
  // The map from V to y: column s is y of the s-th unit vector in channel 0 of head 0, less the biases.
  const auto answer = [&](const Tensor& V) { return slice(slice(mixer->attend(x.Q, x.K, V, {}), 0, 0, 1), 1, 0, 1); };
  const Tensor biases = answer(Tensor::zeros(x.shape, DType::f64));
  Values whole;
  for (int64_t s = 0; s < 9; ++s) {
    const Tensor unit = pad(Tensor::full({2, 2, 1, 1}, 1, DType::f64), 3, 0, 2);
    const Values column = slice(sub(answer(pad(unit, 2, s, 8 - s)), biases), 3, 0, 1).values<double>();
    whole.insert(whole.end(), column.begin(), column.end());
  }
  CHECK(rank_of(whole, 9, 9) == 9);

  set_delta(*mixer, "depthwise.tokens");
  CHECK(distance_of(x.through(*mixer), add(x.through(*plain), x.V)) <= 1e-14);
  const Drawn cells(1 + 6);
  const auto on_cells = mixer_of({}, on_grid(1, 2, 3)), without = mixer_of(with_kernel(0), on_grid(1, 2, 3));
  set_delta(*on_cells, "depthwise.cells");
  const Tensor neighbours = pad(slice(cells.V, 2, 1, 6), 2, 1, 0);   // a class token has none
  CHECK(distance_of(cells.through(*on_cells), add(cells.through(*without), neighbours)) <= 1e-14);
}

TEST_CASE("flatten: permuted tokens permute outputs without a convolution, with a delta, and only there (property 5)") {
  const auto permutes = [](const StateAttention& mixer) {
    const Drawn x;
    const Tensor y = mixer.attend(flip(x.Q, 2), flip(x.K, 2), flip(x.V, 2), {});
    return distance_of(y, flip(x.through(mixer), 2)) <= 1e-13;
  };
  CHECK(permutes(*mixer_of(with_kernel(0))));
  CHECK(!permutes(*mixer_of({})));
  const auto delta = mixer_of({});
  set_delta(*delta, "depthwise.tokens");
  CHECK(permutes(*delta));
  FlattenOptions positions = with_kernel(0);
  positions.key_positions = true;
  CHECK(!permutes(*mixer_of(positions, on_grid(1, 2, 3))));
  Mechanism claiming = mechanism("flatten");
  CHECK(!claiming.claims(FlattenOptions()).equivariant);
  claiming.claims = always(Claims{.equivariant = true});
  CHECK(!prove(claiming, FlattenOptions(), 1).front().holds);
}

TEST_CASE("flatten: a factor of the queries changes nothing, but for ε (property 5)") {
  const Drawn x;
  const auto change = [&](FlattenOptions options, double epsilon) {
    options.epsilon = epsilon;
    const auto mixer = mixer_of(options);
    return distance_of(mixer->attend(affine(x.Q, 7, 0), x.K, x.V, {}), x.through(*mixer));
  };
  CHECK(change({}, 0) <= 1e-14);
  CHECK(change(released(), 1e-6) > 1e-9);
  CHECK(change(released(), 1e-8) <= 0.011 * change(released(), 1e-6));   // in proportion to ε
}

TEST_CASE("flatten: a query without a channel above 0 gets zeros, with ε it reads keys by their shares (3.6)") {
  Drawn x;
  x.Q = affine(abs(x.Q), -1, 0);
  CHECK(largest(x.through(*mixer_of(with_kernel(0)))) == 0);
  FlattenOptions code = with_kernel(0);
  code.epsilon = 1e-6;   // φ(q) = ε 1, so w_j = ε Σ_d φ(k_j)_d, and the sum has 7 ε more
  const Tensor shares = sum(focused(affine(relu(x.K), 1, 1e-6), 3), -1);
  const Tensor expected = reshape(div(shares, affine(sum(shares, -1, true), 1, 7)), {2, 2, 1, 7});
  CHECK(distance_of(recorded_weights(*mixer_of(code), x), expand(expected, {2, 2, 7, 7})) <= 1e-12);
}

TEST_CASE("flatten: on a grid it equals scalar loops, with every gradient: windows of cells, positions, padding, class tokens") {
  const auto mixer = mixer_of(with_kernel(3), on_grid(1, 3, 4)), without = mixer_of(with_kernel(0), on_grid(1, 3, 4));
  CHECK(mixer->needs() == nn::Needs{.self = true, .all_tokens = true, .any_distance = true, .order = true});
  CHECK(without->needs() == nn::Needs{.any_distance = true});
  for (const int64_t alone : {0, 1, 2})
    for (const char* const keys : {"kernel = 3", "kernel = 3\nshared_kernel = true", "kernel = 0\nkey_positions = true",
                                   "norm = 'all'\nshared_kernel = true\nchannel_scale = true\nkey_positions = true\nepsilon = 1e-6"})
      for (const bool padded : {false, true}) {
        const int64_t S = alone + 12;
        std::vector<uint8_t> present(2 * S, 1);
        present[2] = present[7] = present[S + 0] = present[S + 11] = 0;
        const Sizes n{.B = 2, .H = 2, .T = S, .S = S, .D = 4, .present = padded ? present : std::vector<uint8_t>()};
        const MixerShape shape = on_grid(alone, 3, 4);
        const auto options = options_of("flatten", keys);
        const Subject subject("flatten", *options, n, 1, Reach::heads, shape);
        const Attention truth = subject.expected(*options, {.mechanism = "flatten", .heads = loops_at(shape.places)});
        const Distance distance = from_truth(subject, truth, keys);
        INFO(distance.gradient.where, ": ", distance.gradient.error, ", output ", distance.forward.error);
        CHECK(distance.within_bounds());
      }
  const Drawn fewer(5);
  FlattenOptions positions = with_kernel(0);
  positions.key_positions = true;
  for (const FlattenOptions& options : {FlattenOptions(), positions})
    CHECK(message_of([&] { fewer.through(*mixer_of(options, on_grid(1, 2, 3))); }) ==
          "flatten: the grid has 7 tokens, got 5 keys");
}

TEST_CASE("flatten: on a grid the released form, positions and all, has the right first and second derivatives") {
  FlattenOptions options = released();
  options.key_positions = true;
  options.kernel = 3;
  const auto mixer = mixer_of(options, on_grid(1, 2, 2));
  const Parameters parameters = parameters_of(*mixer);
  std::vector<Tensor> leaves{random_normal({2, 5, 8}, 1, "x")};
  for (const auto& one : parameters) leaves.push_back(one.second->value.detach());
  const Function f = [&](const std::vector<Tensor>& in) {
    size_t k = 1;
    for (const auto& one : parameters) one.second->value = in[k++];
    return mixer->forward(in[0], in[0], {});
  };
  const GradcheckOptions small_step{.step = 2e-6};   // relu has kinks
  for (const GradcheckResult& check : {gradcheck("grid", f, leaves, small_step), gradgradcheck("grid", f, leaves, small_step)})
    CHECK_MESSAGE(check.passed, check.report);
}

TEST_CASE("flatten: positions of keys are added to the keys of their cells, at first 0, in the order of the heads") {
  FlattenOptions options = with_kernel(0);
  options.key_positions = true;
  const auto mixer = mixer_of(options, on_grid(1, 2, 3)), without = mixer_of(with_kernel(0));
  const Drawn x;
  const Tensor places = mixer->parameter_at("key_positions").value;
  CHECK(places.shape() == Shape{7, 8});
  CHECK(distance_of(x.through(*mixer), without->attend(x.Q, add(x.K, split_heads(reshape(places, {1, 7, 8}), 2)), x.V, {})) <=
        1e-14);
  mixer->initialise(1, DType::f64);
  CHECK(distance_of(x.through(*mixer), x.through(*without)) <= 1e-14);
}

TEST_CASE("flatten: the released form starts with softplus(0) = ln 2 for every channel, which changes nothing but ε's part (golden 3.3.3)") {
  const Drawn x;
  const auto change = [&](double epsilon) {
    FlattenOptions options = released();
    options.epsilon = epsilon;
    const auto with_scale = make_flatten(options, {.width = 8, .heads = 2});
    options.channel_scale = false;
    const auto without = make_flatten(options, {.width = 8, .heads = 2});
    for (StateAttention* const mixer : {with_scale.get(), without.get()}) mixer->initialise(1, DType::f64);
    CHECK(largest(with_scale->parameter_at("scale").value) == 0);
    CHECK(with_scale->parameter_at("depthwise.tokens.weight").shape == Shape{5, 1, 4});
    return distance_of(x.through(*with_scale), x.through(*without));
  };
  CHECK(change(0) <= 1e-14);
  CHECK(change(1e-6) > 1e-9);
  CHECK(change(1e-8) <= 0.011 * change(1e-6));   // in proportion to ε
  // With c = q·k̄ rows sum to c/(c + ε), scaled by 1/ln 2 to c/(c + ε ln² 2).
  FlattenOptions options = with_kernel(0, released());
  options.epsilon = 0.01;
  const auto excess = [&] {
    const auto mixer = make_flatten(options, {.width = 8, .heads = 2});
    mixer->initialise(1, DType::f64);
    return affine(pow(sum(recorded_weights(*mixer, x), -1), -1), 1, -1);
  };
  const Tensor scaled = excess();
  options.channel_scale = false;
  CHECK(distance_of(scaled, affine(excess(), std::pow(std::log(2), 2), 0)) <= 1e-12);
  const auto on_cells = make_flatten(released(), on_grid(0, 2, 3));
  on_cells->initialise(1, DType::f64);
  const double bound = largest(on_cells->parameter_at("depthwise.cells.weight").value);   // ±1/√25
  CHECK((bound <= 0.2 && bound > 0.19));
}

TEST_CASE("flatten: under a causal mask the convolution ends at the query; a centred one would leak") {
  const auto mixer = mixer_of({});
  const Drawn x;
  Drawn other = x;
  other.V = concat({slice(x.V, 2, 0, 5), affine(slice(x.V, 2, 5, 2), 3, 1)}, 2);   // other last tokens
  const auto first = [&](const Drawn& tokens, const Mask& mask) {
    // what of_neighbours adds alone: keys and queries without a channel above 0 have no weights
    const Tensor none = affine(abs(tokens.Q), -1, 0);
    return slice(mixer->attend(none, none, tokens.V, call_with(mask)), 2, 0, 5).values<double>();
  };
  CHECK(first(other, causal) == first(x, causal));
  CHECK(frobenius_error(first(other, {}), first(x, {})) > 1e-2);
}

TEST_CASE("flatten: what does not fit is refused") {
  const auto made = [](const FlattenOptions& options, const MixerShape& shape) {
    return message_of([&] { make_flatten(options, shape); });
  };
  const MixerShape sequence{.width = 8, .heads = 2};
  CHECK(made(with_kernel(4), sequence) == "flatten: a kernel of 4 values has no middle; hint: choose an odd one");
  FlattenOptions positions;
  positions.key_positions = true;
  CHECK(made(positions, on_grid(0, 2, 2)) == "no error");
  CHECK(made(positions, sequence) ==
        "flatten: positions of keys are those of a grid, and there is none; hint: set key_positions = false");
  const Drawn x;
  const auto mixer = mixer_of({});
  CHECK(message_of([&] { x.through(*mixer, {.causal = true, .offset = 1, .keys = {}}); }) ==
        "flatten: queries are keys too, got 7 of them at offset 1 for 7 keys; hint: give the keys of the queries, after those "
        "of earlier tokens");
}
