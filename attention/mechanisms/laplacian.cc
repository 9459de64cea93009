#include "attention/mechanisms/laplacian.h"

#include <cmath>

#include "attention/gaussian_pyramid.h"
#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"

namespace tapir {
namespace {

class Laplacian final : public ProjectedAttention {
 public:
  Laplacian(const LaplacianOptions& options, const MixerShape& shape)
      : ProjectedAttention(shape), options_(options),
        fusion_(options.levels > 0 && options.fusion == "learned"
                    ? &parameter("fusion", {2, shape.width}, nn::ParameterKind::weight, nn::Init::uniform(std::sqrt(0.5)))
                    : nullptr) {}

  nn::Needs needs() const override {
    const bool blurs = options_.levels > 0;
    return {.self = true, .all_tokens = true, .whole_width = blurs, .any_distance = true, .order = blurs};
  }
  bool accepts(nn::Positions positions) const override { return positions == nn::Positions::none; }

 private:
  Tensor answered(const Heads& heads, const Tensor& tokens, const nn::Call& call) const override {
    const Tensor shares = softmax(without_hidden(heads.Q, call.mask));   // Q̂
    const Tensor efficient =
        merged(read(shares, repeat_heads(heads.K, shape_.heads), repeat_heads(heads.V, shape_.heads), call));
    if (options_.levels == 0) return efficient;
    const Tensor frequency = merge_heads(matmul(shares, frequency_context(tokens, call.mask)));
    if (!fusion_) return add(efficient, frequency);
    const auto weight = [&](int64_t branch) { return slice(fusion_->value, 0, branch, 1); };
    return add(mul(weight(0), efficient), mul(weight(1), frequency));
  }

  Tensor attended(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call) const override {
    return read(softmax(Q), K, V, call);
  }

  // Q̂ (K̂ᵀ V); who listens gets the weights of tokens, Q̂ K̂ᵀ.
  Tensor read(const Tensor& shares, const Tensor& K, const Tensor& V, const nn::Call& call) const {
    const nn::Places& places = shape_.places;
    require(!places.on_grid() || K.size(2) == places.tokens(), "laplacian",
            [&] { return text("the grid has ", places.tokens(), " tokens, got ", K.size(2)); });
    const Tensor over_tokens = softmax_of_tokens(K, call.mask);
    if (!call.records("weights")) return matmul(shares, matmul(over_tokens, V));
    const Tensor A = matmul(shares, over_tokens);
    call.record("weights", A);
    return matmul(A, V);
  }

  static Tensor softmax_of_tokens(const Tensor& x, const Mask& mask) {   // (B,H,S,D) → (B,H,D,S)
    return softmax(transpose(x), Mask{.keys = mask.keys});
  }

  Tensor frequency_context(const Tensor& tokens, const Mask& mask) const {   // Σ A_i (B,H,D,D)
    Tensor sum;
    for (const Tensor& band : laplacian_bands(tokens, options_.levels, shape_.places, mask)) {
      const Tensor heads = split_heads(band, shape_.heads), A = matmul(softmax_of_tokens(heads, mask), heads);
      sum = sum.defined() ? add(sum, A) : options_.first_softmax ? softmax(A, of_samples(mask, A)) : A;
    }
    return sum;
  }

  // Rows of a sample without tokens are 0.
  static Mask of_samples(const Mask& mask, const Tensor& A) {
    if (!mask.keys.defined()) return {};
    const Tensor any = greater(tapir::sum(mask.keys.to(A.dtype()), 1, true), 0);
    return {.keys = expand(any, {A.size(0), A.size(3)})};
  }

  const LaplacianOptions options_;
  nn::Parameter* const fusion_;   // w (2,C)
};

}  // namespace

std::vector<Tensor> laplacian_bands(const Tensor& x, int64_t levels, const nn::Places& places, const Mask& mask) {
  Tensor G = without_hidden(x, mask);
  std::vector<Tensor> bands{G};
  for (int64_t i = 1; i < levels; ++i) {
    const Tensor next = blurred(G, i - 1, places, mask);
    bands.push_back(sub(G, next));
    G = next;
  }
  return bands;
}

std::unique_ptr<ProjectedAttention> make_laplacian(const LaplacianOptions& options, const MixerShape& shape) {
  nn::require_allowed("laplacian", options);
  return std::make_unique<Laplacian>(options, shape);
}

Mechanism laplacian_row() {
  return row_of<LaplacianOptions>(
      {.name = "laplacian",
       .title = "Laplacian-Former, efficient frequency attention",
       .paper = "Azad et al. 2023, arXiv 2309.00108",
       .equation = "Y = w₁ Q̂ K̂ᵀ V W + w₂ Q̂ Σ_i softmax_S(L_i)ᵀ L_i, L_i bands of a Laplacian pyramid of the tokens",
       .cost = "2 D² (P + 3) operations a token and head, on a grid 2 Σ (2 i + 3)² D for P − 1 blurs; memory P T"},
      [](const LaplacianOptions& options) {   // a blur knows neighbours, and softmax over tokens all of them
        Claims claims = and_exact(staged_claims);
        claims.causal = claims.streaming = false;
        claims.equivariant = options.levels <= 1;
        claims.linear = true;
        return claims;
      },
      make_laplacian);
}

}  // namespace tapir
