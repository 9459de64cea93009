// The choice of a token: shares are those of softmax, of the tokens that top-k and top-p keep and of no others.
#include <doctest/doctest.h>

#include <cmath>

#include "attention/reproduce/program/draw.h"

using namespace tapir;

namespace {

const std::vector<double> logits{std::log(0.1), std::log(0.4), std::log(0.2), std::log(0.25), std::log(0.05)};

// How often each token is drawn, of 1000 numbers spread evenly over [0, 1).
std::vector<int> counts(const DrawOptions& options, const std::vector<double>& of = logits) {
  std::vector<int> all(of.size());
  for (int i = 0; i < 1000; ++i) ++all[draw(of, options, (i + 0.5) / 1000)];
  return all;
}

}  // namespace

TEST_CASE("draw: all tokens, by their probability, which the temperature sharpens or flattens") {
  CHECK(counts({.temperature = 1}) == std::vector<int>{100, 400, 200, 250, 50});
  const std::vector<int> sharp = counts({.temperature = 0.5});   // p² / Σ p²
  const double total = 0.01 + 0.16 + 0.04 + 0.0625 + 0.0025;
  const double squares[] = {0.01, 0.16, 0.04, 0.0625, 0.0025};
  for (size_t i = 0; i < 5; ++i) CHECK(std::abs(sharp[i] - 1000 * squares[i] / total) <= 1);
  CHECK(counts({.temperature = 0}) == std::vector<int>{0, 1000, 0, 0, 0});
  CHECK(counts({.temperature = 1e-300}) == std::vector<int>{0, 1000, 0, 0, 0});
  CHECK(counts({.temperature = 0}, {1, 2, 2}) == std::vector<int>{0, 1000, 0});
}

TEST_CASE("draw: top-k keeps the k likeliest, the first of equal ones") {
  CHECK(counts({.temperature = 1, .top_k = 1}) == std::vector<int>{0, 1000, 0, 0, 0});
  const std::vector<int> two = counts({.temperature = 1, .top_k = 2});
  CHECK(two == std::vector<int>{0, 615, 0, 385, 0});   // 0.4 and 0.25 of 0.65
  CHECK(counts({.temperature = 1, .top_k = 5}) == counts({.temperature = 1}));
  CHECK(counts({.temperature = 1, .top_k = 1'000'000'000}) == counts({.temperature = 1}));
  CHECK(counts({.temperature = 1, .top_k = 2}, {0, 0, 0}) == std::vector<int>{500, 500, 0});
}

TEST_CASE("draw: top-p keeps the fewest likeliest that reach it, at least one, of what top-k left") {
  CHECK(counts({.temperature = 1, .top_p = 1e-9}) == std::vector<int>{0, 1000, 0, 0, 0});
  CHECK(counts({.temperature = 1, .top_p = 0.39}) == std::vector<int>{0, 1000, 0, 0, 0});
  CHECK(counts({.temperature = 1, .top_p = 0.6}) == counts({.temperature = 1, .top_k = 2}));
  CHECK(counts({.temperature = 1, .top_p = 0.99}) == counts({.temperature = 1}));
  CHECK(counts({.temperature = 1, .top_k = 3, .top_p = 0.7}) == counts({.temperature = 1, .top_k = 2}));   // 0.65 of 0.85
}

TEST_CASE("draw: numbers at the ends choose tokens that have a share") {
  const std::vector<double> of{-800, 0, -800};   // e⁻⁸⁰⁰ is 0
  CHECK(draw(of, {.temperature = 1}, 0) == 1);
  CHECK(draw(of, {.temperature = 1}, std::nextafter(1.0, 0.0)) == 1);
  CHECK(draw({0, 0}, {.temperature = 1, .top_k = 1}, std::nextafter(1.0, 0.0)) == 0);
}
