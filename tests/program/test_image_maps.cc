// What a report shows of attention over an image: by hand, and properties of products of rows that sum to 1.
#include "attention/reproduce/program/image_maps.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "autograd/ops/shape.h"

using namespace tapir;

namespace {

// (B,H,T,T) or less.
Tensor weights_of(const std::vector<double>& values, const Shape& shape) { return Tensor::from(values, shape); }

}  // namespace

TEST_CASE("image maps: without a class token the mean over all queries, with one its own row, of the cells alone") {
  const Tensor weights = weights_of({0.5, 0.2, 0.3, 0.1, 0.8, 0.1, 0.6, 0.2, 0.2}, {3, 3});
  const std::vector<double> all = read_from_cells(weights, {.class_tokens = 0, .rows = 1, .columns = 3}).values<double>();
  REQUIRE(all.size() == 3);
  CHECK(all[0] == doctest::Approx(0.4));
  CHECK(all[1] == doctest::Approx(0.4));
  CHECK(all[2] == doctest::Approx(0.2));
  const ImageGrid grid{.class_tokens = 1, .rows = 1, .columns = 2};
  CHECK(read_from_cells(weights, grid).values<double>() == std::vector<double>{0.2, 0.3});
  const Tensor heads = read_from_cells(stack({weights, transpose(weights)}, 0), grid);   // of each by itself
  CHECK(heads.shape() == Shape{2, 2});
  CHECK(heads.values<double>() == std::vector<double>{0.2, 0.3, 0.1, 0.6});
}

TEST_CASE("image maps: the rollout of two layers by hand, of each image by itself") {
  // Mean over heads of layer 1: [[0.5, 0.5], [0, 1]]; of layer 2: [[0, 1], [1, 0]]. The second image looks at itself.
  const Tensor first = weights_of({1, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1}, {2, 2, 2, 2});
  const Tensor second = weights_of({0, 1, 1, 0, 1, 0, 0, 1}, {2, 1, 2, 2});
  // (½ A₂ + ½ I)(½ A₁ + ½ I) = [[½, ½], [½, ½]] [[¾, ¼], [0, 1]]
  const Tensor product = rolled_out(rolled_out({}, first), second);
  CHECK(product.shape() == Shape{2, 2, 2});
  const std::vector<double> found = product.values<double>(), expected{0.375, 0.625, 0.375, 0.625, 1, 0, 0, 1};
  for (size_t k = 0; k < 8; ++k) CHECK(found[k] == doctest::Approx(expected[k]).epsilon(1e-15));
}

TEST_CASE("image maps: a rollout's rows sum to 1, and of layers that only look at themselves it is the identity") {
  const Tensor uneven = weights_of({0.2, 0.3, 0.5, 0.9, 0.1, 0, 0.3, 0.3, 0.4}, {1, 1, 3, 3});
  const Tensor own = weights_of({1, 0, 0, 0, 1, 0, 0, 0, 1}, {1, 1, 3, 3});
  const std::vector<double> mixed = rolled_out(rolled_out(rolled_out({}, uneven), uneven), own).values<double>();
  for (size_t t = 0; t < 3; ++t) CHECK(std::accumulate(&mixed[3 * t], &mixed[3 * t] + 3, 0.0) == doctest::Approx(1));
  CHECK(rolled_out(rolled_out({}, own), own).values<double>() == own.values<double>());
}

TEST_CASE("image maps: rows are distributions where nothing is negative and each sums to 1 within 1e-3") {
  const auto are = [](const std::vector<double>& values) { return are_distributions(weights_of(values, {2, 2})); };
  CHECK(are({0.5, 0.5, 1, 0}));
  CHECK(are({0.5, 0.5009, 1, 0}));
  CHECK_FALSE(are({0.5, 0.5, 0.5, 0.502}));
  CHECK_FALSE(are({0.5, 0.5, 0.3, 0.3}));
  CHECK_FALSE(are({1.5, -0.5, 1, 0}));
}
