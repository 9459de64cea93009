#include "attention/mechanisms/dot_product.h"

namespace tapir {

Mechanism dot_product_row() {
  return row_of<StagedOptions>(
      {.name = "dot_product",
       .title = "Scaled dot product",
       .paper = "Vaswani et al. 2017, arXiv 1706.03762",
       .equation = "s_ij = q_i·k_j / √D",
       .cost = "4 D operations a pair; memory T × S, fused T + S"},
      and_exact(staged_claims),
      [](const StagedOptions& options, const MixerShape& shape) {
        nn::require_allowed("dot_product", options);
        return make_dot_product(shape, options.fused());
      });
}

}  // namespace tapir
