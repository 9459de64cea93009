// What a report shows of attention over an image: by hand, and properties of products of rows that sum to 1.
#include "attention/reproduce/program/image_maps.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

using namespace tapir;

TEST_CASE("image maps: without a class token the mean over all queries, with one its own row, of the cells alone") {
  const std::vector<double> weights{0.5, 0.2, 0.3, 0.1, 0.8, 0.1, 0.6, 0.2, 0.2};   // (3,3)
  const std::vector<double> all = read_from_cells(weights, {.class_tokens = 0, .rows = 1, .columns = 3});
  REQUIRE(all.size() == 3);
  CHECK(all[0] == doctest::Approx(0.4));
  CHECK(all[1] == doctest::Approx(0.4));
  CHECK(all[2] == doctest::Approx(0.2));
  CHECK(read_from_cells(weights, {.class_tokens = 1, .rows = 1, .columns = 2}) == std::vector<double>{0.2, 0.3});
}

TEST_CASE("image maps: the rollout of two layers by hand") {
  // Mean over heads of layer 1: [[0.5, 0.5], [0, 1]]; of layer 2: [[0, 1], [1, 0]].
  const std::vector<std::vector<double>> layers{{1, 0, 0, 1, 0, 1, 0, 1}, {0, 1, 1, 0}};
  // (½ A₂ + ½ I)(½ A₁ + ½ I) = [[½, ½], [½, ½]] [[¾, ¼], [0, 1]]
  const std::vector<double> found = rollout(layers, 2), expected{0.375, 0.625, 0.375, 0.625};
  for (size_t k = 0; k < 4; ++k) CHECK(found[k] == doctest::Approx(expected[k]).epsilon(1e-15));
}

TEST_CASE("image maps: a rollout's rows sum to 1, and of layers that only look at themselves it is the identity") {
  const std::vector<double> uneven{0.2, 0.3, 0.5, 0.9, 0.1, 0, 0.3, 0.3, 0.4}, own{1, 0, 0, 0, 1, 0, 0, 0, 1};
  const std::vector<double> mixed = rollout({uneven, uneven, own}, 3);
  for (size_t t = 0; t < 3; ++t) CHECK(std::accumulate(&mixed[3 * t], &mixed[3 * t] + 3, 0.0) == doctest::Approx(1));
  CHECK(rollout({own, own}, 3) == own);
}
