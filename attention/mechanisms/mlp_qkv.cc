#include "attention/mechanisms/mlp_qkv.h"

#include <map>

#include "autograd/ops/unary.h"
#include "nn/layers/norm.h"

namespace tapir {
namespace {

Tensor activate(const std::string& name, const Tensor& x) { return name == "mish" ? mish(x) : relu(x); }

struct Network : nn::Module {
  Network(const MlpQkvOptions& o, const Widths& widths, int64_t units, const nn::LayerNorm* shared_norm)
      : options(o), hidden(child<nn::Linear>("hidden", widths.in, units, true, nn::Init::normal(0.02))),
        norm(shared_norm || o.norm == "none" ? shared_norm : &child<nn::LayerNorm>("norm", units)),
        out(child<nn::Linear>("out", units, widths.out, o.output_bias, nn::Init::normal(0.02))) {}

  Tensor forward(const Tensor& x) const {   // (B,T,in) → (B,T,out)
    const Scope scope = enter();
    const Tensor t = hidden.forward(x);
    const Tensor r = activate(options.activation, options.norm == "before" ? norm->forward(t) : t);
    return leave(out.forward(options.norm == "after" ? norm->forward(r) : r), x);
  }

  const MlpQkvOptions options;
  const nn::Linear& hidden;
  const nn::LayerNorm* norm;   // null without
  const nn::Linear& out;
};

class MlpQkv final : public StagedAttention {
 public:
  MlpQkv(const MlpQkvOptions& options, const MixerShape& shape) : StagedAttention(shape, options.fused(), options.networks()) {
    require(!options.networks().empty(), "mlp_qkv", [] { return "none of q, k, v, o has a network"; },
            "that is dot_product");
    require(!options.norm_shared || options.norm != "none", "mlp_qkv",
            [] { return "norm_shared needs a norm, found norm = \"none\""; });
    const int64_t units = options.hidden_mult * shape.width;
    const nn::LayerNorm* shared = options.norm_shared ? &child<nn::LayerNorm>("norm", units) : nullptr;
    for (const Projection which : options.networks())
      networks_[which] = &child<Network>(name_of(which), options, widths_of(which, shape), units, shared);
  }

 private:
  Tensor project(Projection which, const Tensor& x) const override {
    const auto network = networks_.find(which);
    return network == networks_.end() ? StagedAttention::project(which, x) : network->second->forward(x);
  }

  std::map<Projection, const Network*> networks_;
};

}  // namespace

std::set<Projection> MlpQkvOptions::networks() const {
  std::set<Projection> on;
  if (q) on.insert(Projection::query);
  if (k) on.insert(Projection::key);
  if (v) on.insert(Projection::value);
  if (o) on.insert(Projection::out);
  return on;
}

std::unique_ptr<nn::TokenMixer> make_mlp_qkv(const MlpQkvOptions& options, const MixerShape& shape) {
  nn::require_allowed("mlp_qkv", options);
  return std::make_unique<MlpQkv>(options, shape);
}

Mechanism mlp_qkv_row() {
  return row_of<MlpQkvOptions>(
      {.name = "mlp_qkv",
       .title = "MLP-QKV",
       .paper = "Zhang 2023, arXiv 2310.11398",
       .equation = "Q, K, V = W₂ ReLU(LayerNorm(W₁ x + b₁)) + b₂, s_ij = q_i·k_j / √D",
       .cost = "4 D operations a pair, 9 C² multiplications a token more than dot_product; memory T × S, fused T + S"},
      [](const MlpQkvOptions& options) {   // a network of the output answers a row without keys
        Claims claims = and_exact(staged_claims);
        claims.padding_safe = !options.o;
        return claims;
      },
      make_mlp_qkv);
}

}  // namespace tapir
