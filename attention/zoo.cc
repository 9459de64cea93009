#include "attention/zoo.h"

#include "attention/mechanisms/additive.h"
#include "attention/mechanisms/dot_product.h"
#include "attention/mechanisms/expressive.h"
#include "attention/mechanisms/mlp_qkv.h"
#include "attention/mechanisms/score_mlp.h"

namespace tapir {
namespace {

// The maker of a mechanism with options of its own, behind the common signature.
template <class O, class Make>
void set_maker(Mechanism& row, Make make) {
  row.options = [] { return std::make_unique<O>(); };
  row.make = [make, name = row.name](const nn::Options& options, const MixerShape& shape) {
    const auto* const own = dynamic_cast<const O*>(&options);
    require(own != nullptr, "zoo", [&] { return text("these are not the options of '", name, "'"); },
            "take those that the row's options() makes");
    return make(*own, shape);
  };
}

Mechanism dot_product_row() {
  Mechanism row{.name = "dot_product",
                .title = "Scaled dot product",
                .paper = "Vaswani et al. 2017, arXiv 1706.03762",
                .equation = "s_ij = q_i·k_j / √D",
                .cost = "2 D operations a pair; memory T × S, fused T + S",
                .claims = {.causal = true, .distribution = true, .equivariant = true, .padding_safe = true},
                .options = {}, .make = {}};
  set_maker<StagedOptions>(row, [](const StagedOptions& options, const MixerShape& shape) {
    nn::require_allowed("dot_product", options);
    return make_dot_product(shape, options.fused());
  });
  return row;
}

Mechanism score_mlp_row() {
  Mechanism row{.name = "score_mlp",
                .title = "Neural Attention",
                .paper = "DiGiugno & Mahmood 2025, arXiv 2502.17206",
                .equation = "s_ij = wᵀ ReLU(W [P_q q_i; P_k k_j] + b) + c",
                .cost = "3 M operations a pair for M hidden units; memory T × S, fused (paper form) T + S",
                .claims = {.causal = true, .distribution = true, .equivariant = true, .padding_safe = true},
                .options = {}, .make = {}};
  set_maker<ScoreMlpOptions>(row, make_score_mlp);
  return row;
}

Mechanism additive_row() {
  Mechanism row{.name = "additive",
                .title = "Additive attention",
                .paper = "Bahdanau, Cho & Bengio 2015, arXiv 1409.0473",
                .equation = "s_ij = vᵀ tanh(W q_i + U k_j)",
                .cost = "3 M operations and M tanh a pair for M hidden units; memory T × S",
                .claims = {.causal = true, .distribution = true, .equivariant = true, .padding_safe = true},
                .options = {}, .make = {}};
  set_maker<AdditiveOptions>(row, make_additive);
  return row;
}

Mechanism expressive_row() {
  Mechanism row{.name = "expressive",
                .title = "Expressive Attention",
                .paper = "Gros 2024, arXiv 2407.18601",
                .equation = "a_ij = g_ij / Σ_l g_il, g = z²/(1 + z²), z = β q_i·k_j",
                .cost = "2 D operations a pair; memory T × S, fused T + S",
                .claims = {.causal = true, .distribution = true, .equivariant = true, .padding_safe = true},
                .options = {}, .make = {}};
  set_maker<ExpressiveOptions>(row, make_expressive);
  return row;
}

Mechanism mlp_qkv_row() {
  Mechanism row{.name = "mlp_qkv",
                .title = "MLP-QKV",
                .paper = "Zhang 2023, arXiv 2310.11398",
                .equation = "Q, K, V = W₂ ReLU(LayerNorm(W₁ x + b₁)) + b₂, s_ij = q_i·k_j / √D",
                .cost = "2 D operations a pair, 9 C² multiplications a token more than dot_product; memory T × S, fused T + S",
                .claims = {.causal = true, .distribution = true, .equivariant = true, .padding_safe = true},
                .options = {}, .make = {}};
  set_maker<MlpQkvOptions>(row, make_mlp_qkv);
  return row;
}

std::deque<Mechanism>& rows() {
  static std::deque<Mechanism> table{dot_product_row(), score_mlp_row(), additive_row(), expressive_row(), mlp_qkv_row()};
  return table;
}

}  // namespace

const std::deque<Mechanism>& zoo() { return rows(); }

const Mechanism& mechanism(const std::string& name) {
  std::string known;
  for (const Mechanism& row : rows()) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + row.name;
  }
  throw Error("zoo", text("there is no mechanism '", name, "'; those that exist: ", known));
}

void add_mechanism(Mechanism row) {
  for (const Mechanism& known : rows())
    require(known.name != row.name, "zoo", [&] { return text("the name '", row.name, "' is taken by ", known.title); });
  rows().push_back(std::move(row));
}

}  // namespace tapir
