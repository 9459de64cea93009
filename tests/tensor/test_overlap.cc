// Writes into memory that overlaps: which views do, against sets of places, and every function that writes in place.
#include "tensor/overlap.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <regex>
#include <set>

#include "autograd/backward.h"
#include "nn/optim/optimiser.h"
#include "tensor/elementwise.h"
#include "tensor/random.h"
#include "tensor/view.h"
#include "tests/length.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

constexpr int64_t memory = 60;   // elements of the storage that views are cut from

Tensor counting(DType type = DType::f64) {
  std::vector<double> values(memory);
  std::iota(values.begin(), values.end(), 1);
  return Tensor::from(values, {memory}).to(type);
}

// Places of the elements in row-major order.
std::vector<int64_t> places(const Tensor& x) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < x.elements(); ++i) {
    int64_t place = x.offset(), rest = i;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      place += rest % x.size(axis) * x.stride(axis);
      rest /= x.size(axis);
    }
    all.push_back(place);
  }
  return all;
}

bool repeats(const std::vector<int64_t>& all) { return std::set<int64_t>(all.begin(), all.end()).size() < all.size(); }

bool meet(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const std::set<int64_t> in_a(a.begin(), a.end());
  return std::any_of(b.begin(), b.end(), [&](int64_t place) { return in_a.contains(place); });
}

using Random = std::mt19937_64;

int64_t draw(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

// A view of `base` with a shape and strides that it has room for.
Tensor random_view(Random& random, const Tensor& base, const Shape& shape) {
  for (;;) {
    Strides strides{};
    int64_t lowest = 0, highest = 0;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      strides[axis] = draw(random, -14, 14);
      (strides[axis] < 0 ? lowest : highest) += (shape[axis] - 1) * strides[axis];
    }
    if (shape.elements() == 0) return base.strided(shape, strides);
    if (highest - lowest < memory) return base.strided(shape, strides, draw(random, -lowest, memory - 1 - highest));
  }
}

Shape random_shape(Random& random) {
  Shape shape;
  for (int64_t rank = draw(random, 0, 4); rank > 0; --rank) shape.push_back(draw(random, random() % 16 ? 1 : 0, 4));
  return shape;
}

// Everything that writes a tensor in place: by name, and as it is called for y and a source.
using Write = std::function<void(Tensor& y, const Tensor& x)>;

std::map<std::string, Write> writes() {
  const RandomKey key{.seed = 1, .step = 0, .site = 0};
  return {{"fill_", [](Tensor& y, const Tensor&) { fill_(y, 3); }},
          {"copy_", [](Tensor& y, const Tensor& x) { copy_(y, x); }},
          {"add_", [](Tensor& y, const Tensor& x) { add_(y, x); }},
          {"scale_", [](Tensor& y, const Tensor&) { scale_(y, 2); }},
          {"uniform_", [=](Tensor& y, const Tensor&) { uniform_(y, 0, 1, key); }},
          {"normal_", [=](Tensor& y, const Tensor&) { normal_(y, 0, 1, key); }},
          {"truncated_normal_", [=](Tensor& y, const Tensor&) { truncated_normal_(y, 0, 1, key); }}};
}

// y whose element i, and no other, is what `call` makes of the values y_i and x_i, all of them read before any is written.
std::map<std::string, std::function<double(double, double)>> results() {
  return {{"copy_", [](double, double x) { return x; }}, {"add_", [](double y, double x) { return y + x; }}};
}

}  // namespace

TEST_CASE("overlap: random views, against the set of their places") {
  Random random(5);
  const Tensor base = counting();
  int64_t alone = 0, apart = 0;
  const int64_t rounds = cases(20'000, 1'000'000);
  for (int64_t round = 0; round < rounds; ++round) {
    const Tensor x = random_view(random, base, random_shape(random)), y = random_view(random, base, random_shape(random));
    const bool in_itself = repeats(places(x)), with_another = meet(places(x), places(y));
    CAPTURE(round);
    REQUIRE(overlaps_itself(x) == in_itself);
    REQUIRE(overlap(x, y) == with_another);
    REQUIRE(overlap(y, x) == with_another);
    alone += !in_itself;
    apart += !with_another;
  }
  CHECK(alone > rounds / 10);
  CHECK(alone < rounds * 9 / 10);
  CHECK(apart > rounds / 10);
  CHECK(apart < rounds * 9 / 10);
}

TEST_CASE("overlap: every function that writes in place is in the list of this file") {
  const std::map<std::string, Write> known = writes();
  const std::regex declaration(R"(\bvoid (\w+_)\(Tensor& )");
  for (const char* folder : {"tensor", "autograd", "nn", "attention"})
    for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(TAPIR_SOURCE_DIR "/") + folder)) {
      if (entry.path().extension() != ".h") continue;
      std::ifstream file(entry.path());
      const std::string source((std::istreambuf_iterator<char>(file)), {});
      for (std::sregex_iterator match(source.begin(), source.end(), declaration), end; match != end; ++match) {
        CAPTURE(match->str(1));
        CHECK(known.contains(match->str(1)));
      }
    }
}

TEST_CASE("overlap: no function writes a view that has two elements at one place") {
  Random random(6);
  const std::map<std::string, Write> known = writes();
  int64_t refused = 0;
  for (int64_t round = 0; round < cases(2'000, 100'000); ++round) {
    const Tensor base = counting(round % 2 ? DType::f32 : DType::f64), before = base.copy();
    Tensor y = random_view(random, base, random_shape(random));
    if (!overlaps_itself(y)) continue;
    ++refused;
    const uint64_t version = base.version();
    for (const auto& known_write : known) {   // clang++ 16 captures no structured binding under OpenMP
      const std::string& name = known_write.first;
      const Write& write = known_write.second;
      const std::string message = message_of([&] { write(y, Tensor::full({}, 1, y.dtype())); });
      CAPTURE(message);
      CHECK(message.find(name + ": ") == 0);
      CHECK(contains_text(message, text("of shape ", y.shape())));
    }
    REQUIRE(base.version() == version);
    REQUIRE(base.to(DType::f64).values<double>() == before.to(DType::f64).values<double>());
  }
  CHECK(refused > 100);
}

TEST_CASE("overlap: a source may lie where the target does, element by element, or apart; else it is refused") {
  Random random(7);
  std::map<std::string, int64_t> same, apart, refused;
  for (int64_t round = 0; round < cases(20'000, 500'000); ++round)
    for (const auto& row : results()) {
      const std::string& name = row.first;
      const auto& result = row.second;
      const Tensor base = counting();
      const Shape shape = random_shape(random);
      Tensor y = random_view(random, base, shape);
      if (overlaps_itself(y)) continue;
      const Tensor x = round % 8 ? random_view(random, base, shape) : y;
      const std::vector<double> old = base.values<double>();
      std::vector<double> wanted = old;
      const std::vector<int64_t> in_y = places(y), in_x = places(x);
      for (size_t i = 0; i < in_y.size(); ++i) wanted[in_y[i]] = result(old[in_y[i]], old[in_x[i]]);
      const std::string message = message_of([&] { writes().at(name)(y, x); });
      CAPTURE(round);
      if (in_x == in_y || !meet(in_x, in_y)) {
        REQUIRE(message == "no error");
        REQUIRE(base.values<double>() == wanted);
        ++(in_x == in_y ? same : apart)[name];
      } else {
        REQUIRE(message == text(name, ": the source of shape ", shape, " overlaps the target of shape ", shape,
                                " in memory; hint: copy() the source first"));
        REQUIRE(base.values<double>() == old);
        ++refused[name];
      }
    }
  for (const auto& [name, result] : results())
    for (const auto& counts : {same, apart, refused}) CHECK(counts.at(name) > 500);
}

TEST_CASE("overlap: what is written in practice") {
  const Tensor x = counting();
  Tensor grid = view::reshape(x, {6, 10}), head = view::slice(x, 0, 0, 3), tail = view::slice(x, 0, 1, 3);
  Tensor left = view::slice(grid, 1, 0, 4), right = view::slice(grid, 1, 4, 4), middle = view::slice(grid, 1, 2, 4);
  copy_(left, right);                     // interleaved columns are apart
  add_(left, left);
  add_(left, view::slice(right, 0, 2, 1));   // a row for all
  CHECK(grid.values<double>()[10] == 2 * 15 + 25);
  CHECK(message_of([&] { copy_(left, middle); }).find("copy_: the source of shape [6,4] overlaps the target") == 0);
  CHECK(message_of([&] { copy_(tail, head); }).find("copy_: the source of shape [3] overlaps") == 0);
  CHECK(message_of([&] { add_(grid, view::slice(grid, 0, 0, 1)); }).find("add_: the source of shape [1,10] overlaps") == 0);
  Tensor square = view::reshape(view::slice(x, 0, 0, 36), {6, 6});
  CHECK(message_of([&] { copy_(square, view::transpose(square, 0, 1)); }).find("copy_: the source") == 0);
  Tensor repeated = view::expand(view::slice(x, 0, 0, 1), {3});
  CHECK(message_of([&] { scale_(repeated, 2); }) ==
        "scale_: the target, a view of shape [3], has several elements at one place; hint: write into a copy(), or into what "
        "was expanded");
  Tensor windows = x.strided({4, 3}, {1, 1});   // sliding
  CHECK(message_of([&] { fill_(windows, 0); }).find("fill_: the target") == 0);
  Tensor none = view::expand(view::slice(x, 0, 0, 0), {5, 0});
  fill_(none, 1);   // nothing overlaps nothing
  CHECK(x.values<double>()[59] == 60);
}

TEST_CASE("overlap: initialisers refuse what they cannot fill") {
  using nn::Init;
  const RandomKey key{.seed = 1, .step = 0, .site = 0};
  for (const Init& init : {Init::constant(1), Init::normal(1), Init::uniform(1), Init::fan_in(3), Init::xavier_uniform(),
                           Init::xavier_normal(), Init::he(), Init::orthogonal(), Init::truncated_normal(1)}) {
    const Tensor x = Tensor::zeros({1, 3}, DType::f64);
    Tensor y = view::expand(x, {3, 3}), none;
    CHECK(contains_text(message_of([&] { init.fill(y, key); }), "[3,3]"));
    CHECK(contains_text(message_of([&] { init.fill(none, key); }), "no value"));
    CHECK(x.values<double>() == std::vector<double>(3, 0));
  }
}

TEST_CASE("overlap: optimisers refuse parameters that share memory") {
  using namespace nn;
  struct Pair : Module {
    Parameter& a = parameter("a", {4, 3}, ParameterKind::weight, Init::normal(1));
    Parameter& b = parameter("b", {2, 3}, ParameterKind::weight, Init::normal(1));
  } model;
  model.initialise(1);
  for (const char* name : {"adamw", "sgd", "lion", "muon"}) {
    OptimiserOptions options;
    options.name = name;
    model.b.value = requires_grad(view::slice(model.a.value.detach(), 0, 2, 2));
    CHECK(message_of([&] { options.make(model); }) ==
          text(name, ": a and b share memory; hint: register what is shared once"));
    model.b.value = requires_grad(model.b.value.detach().copy());
    CHECK(message_of([&] { options.make(model); }) == "no error");
  }
}
