// Scaled dot product: its scalar loops are those of reference_attention.h, which other mechanisms share.
#include <doctest/doctest.h>

#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

const Registered registered({
    .mechanism = "dot_product",
    .heads = [](const auto&, const auto&, const auto& sizes, const auto& q, const auto& k, const auto& v, const auto& g) {
      return reference::attend(reference::DotProduct{}, sizes, q, k, v, g);
    },
    .rules = {implementation_rule()}});

}  // namespace

TEST_CASE("dot_product: score gradients of a row sum to zero") {
  const Tensor scores = requires_grad(random_normal({2, 2, 4, 6}, 3, "scores"));
  const Mask causal{.causal = true, .offset = 1, .keys = {}};
  const Tensor slope = grad({softmax(scores, causal)}, {scores}, {random_normal({2, 2, 4, 6}, 3, "g")})[0];
  for (const double row : sum(slope, -1).values<double>()) CHECK(std::fabs(row) <= 1e-15);
}
