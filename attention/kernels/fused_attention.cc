#include "attention/kernels/fused_attention.h"

#include "attention/kernels/alibi.h"
#include "attention/kernels/expressive_weights.h"
#include "attention/kernels/fused_op.h"
#include "attention/kernels/pair_hidden.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/softmax.h"

namespace tapir {

struct SoftmaxForm {
  using Weight = SoftmaxWeight;
  static std::vector<double> head_slopes(int64_t heads) { return alibi_slopes(heads); }
  static Tensor softmax_of(const Tensor& E, const Mask& mask, ByPlace by) {
    const Tensor all = by.own ? E : without_own(E, mask.offset);
    return softmax(by.alibi ? with_alibi(all, mask.offset) : all, mask);
  }
  static Tensor with_alibi(const Tensor& E, int64_t offset) {
    return add(E, alibi_bias(E.size(1), E.size(2), E.size(3), offset, E.dtype(), E.device()));
  }
};

struct DotProductForm : SoftmaxForm {
  static constexpr const char* name = "dot_product_attention";
  using Score = DotScore;
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, ByPlace by) {
    return softmax_of(matmul(in[0], transpose(in[1])), mask, by);
  }
};

struct ExpressiveForm {
  static constexpr const char* name = "expressive_attention";
  using Score = DotScore;
  using Weight = ResponseWeight;
  static std::vector<double> head_slopes(int64_t heads) {
    std::vector<double> all;
    for (int64_t h = 0; h < heads; ++h) all.push_back(response_slope(h, heads));
    return all;
  }
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, ByPlace by) {
    return expressive_weights(matmul(in[0], transpose(in[1])), mask, by.alibi);
  }
};

struct NetworkForm : SoftmaxForm {
  static constexpr const char* name = "network_attention";
  using Score = NetworkScore;
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, ByPlace by) {
    const Tensor& weight = in[3];
    const Tensor E = pair_hidden(in[0], in[1], reshape(weight, {weight.size(0), 1, weight.size(1)}), mask);   // (B,H,1,T,S)
    return softmax_of(reshape(E, E.shape().without(2)), mask, by);
  }
};

struct DeepNetworkForm : SoftmaxForm {
  static constexpr const char* name = "deep_network_attention";
  using Score = DeepNetworkScore;
  static Tensor weights(const std::vector<Tensor>& in, const Mask& mask, ByPlace by) {
    const Tensor &hidden = in[3], &out = in[4];
    const Tensor v = relu(pair_hidden(in[0], in[1], hidden, mask));   // (B,H,R,T,S)
    return softmax_of(sum(mul(v, reshape(out, {out.size(0), out.size(1), 1, 1})), 2), mask, by);
  }
};

namespace {

// Of ops in which token t is query t and key t.
void require_tokens(const char* name, const Tensor& Q, const Tensor& K, const Tensor& V) {
  require(Q.rank() == 4 && Q.shape() == K.shape() && V.rank() == 4 && V.shape().with(3, 0) == Q.shape().with(3, 0), name, [&] {
    return text("needs queries and keys (B,H,T,F) and values (B,H,T,D), got ", Q.shape(), ", ", K.shape(), ", ", V.shape());
  });
}

}  // namespace

// Y = A V, U = 2 V − Y, O = A U:
//   dU = Aᵀ dO,  dY = −dU,  dV = 2 dU + Aᵀ dY,  ds_ts = A_ts (dO_t·u_s + dY_t·v_s − dO_t·O_t − dY_t·Y_t)
struct FusedTwicing {
  struct Form : DotProductForm {
    static constexpr const char* name = "twicing_attention";
  };
  static constexpr const char* name = Form::name;
  FusedAttention<Form> attention;
  Saved smoothed{};   // Y
  SavedOutput out{};

  Tensor forward(const Tensor& Q, const Tensor& K, const Tensor& V) {
    require_tokens(name, Q, K, V);
    attention.take({Q, K, V});
    attention.require_memory(2 * V.size(3), V.size(3));
    smoothed = without_hidden(attention.attend(V), *attention.mask);
    const Tensor O = attention.attend(twiced(V, *smoothed));
    out = O;
    return O;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const Tensor &V = *attention.in[2], &Y = *smoothed, dU = attention.attend_back(g), dY = neg(dU);
    const Tensor delta = add(sum(mul(g, at.output(out)), -1), sum(mul(dY, Y), -1));
    Gradients all = attention.gradients(concat({twiced(V, Y), V}, 3), concat({g, dY}, 3), delta, V.size(3));
    all[2] = add(all[2], affine(dU, 2, 0));
    return all;
  }

  std::vector<Saved> inputs() const { return attention.in; }
  Tensor composite(const std::vector<Tensor>& inputs) const {
    const Mask& mask = *attention.mask;
    const Tensor V = without_hidden(inputs[2], mask);
    const Tensor A = Form::weights({inputs[0], without_hidden(inputs[1], mask)}, mask, attention.by);
    return mix(A, twiced(V, without_hidden(mix(A, V, mask), mask)), mask);
  }

 private:
  static Tensor twiced(const Tensor& V, const Tensor& Y) { return sub(affine(V, 2, 0), Y); }
};

// c_s = log Σ_t exp s_ts comes from attention with keys and queries exchanged and values of no width: it keeps the shift and
// 1/Σ exp(s − shift) of each row. Then O = P V with P = softmax_s(s_ts − c_s), which are scores of the features (q,1) and (k,−c).
//   dO = g,  δ_t = g_t·O_t,  dv_s = Σ_t P_ts g_t,  dc_s = −Σ_t P_ts (g_t·v_s − δ_t) = Σ_t P_ts δ_t − v_s·dv_s
//   ds_ts = P_ts (g_t·v_s − δ_t) + dc_s exp(s_ts − c_s) = P_ts (g_t·v_s + z_t dc_s − δ_t),   z_t = Σ_s exp(s_ts − c_s)
// So (v,dc) and (g,z) stand where v and g do in the gradient of attention. z_t is 0 for a query that counts in no column.
struct FusedDoublyNormalised {
  struct Form : DotProductForm {
    static constexpr const char* name = "doubly_normalised_attention";
  };
  static constexpr const char* name = Form::name;
  FusedAttention<Form> attention;   // of (q,1), (k,−c) and v
  std::vector<Saved> in{};
  SavedOutput out{};

  Tensor forward(const Tensor& Q, const Tensor& K, const Tensor& V) {
    require_tokens(name, Q, K, V);
    in = {Q, K, V};
    FusedAttention<Form> columns{attention.mask, attention.by};
    columns.take({K, Q, V});
    columns.attend(slice(V, 3, 0, 0));
    const Tensor none = Tensor::full({}, below_all_scores, Q.dtype(), Q.device());   // of a column without queries
    const Tensor c = where(equal(*columns.factors, 0), none, sub(*columns.shifts, log(*columns.factors)));
    const Shape one = Q.shape().with(3, 1);
    attention.take({concat({Q, Tensor::full(one, 1, Q.dtype(), Q.device())}, 3), concat({K, reshape(neg(c), one)}, 3), V});
    attention.require_memory(V.size(3) + 1, V.size(3) + 1);
    const Tensor O = attention.attend(V);
    out = O;
    return O;
  }
  Gradients backward(const Tensor& g, const Backward& at) const {
    const Tensor& V = *in[2];
    const Shape one = V.shape().with(3, 1);
    const Tensor delta = sum(mul(g, at.output(out)), 3), back = attention.attend_back(concat({g, reshape(delta, one)}, 3));
    const Tensor dV = slice(back, 3, 0, V.size(3)), dc = sub(slice(back, 3, V.size(3), 1), sum(mul(V, dV), 3, true));
    const Tensor total = reshape(div(exp(*attention.shifts), *attention.factors), one);
    const Tensor z = without_hidden(total, *attention.mask);
    const Gradients all = attention.gradients(concat({V, dc}, 3), concat({g, z}, 3), delta, 0);
    const auto features = [&](const Tensor& x) { return slice(x, 3, 0, in[0]->size(3)); };
    return {features(all[0]), features(all[1]), dV};
  }

  std::vector<Saved> inputs() const { return in; }
  Tensor composite(const std::vector<Tensor>& inputs) const {
    const Mask& mask = *attention.mask;
    Tensor E = matmul(inputs[0], transpose(without_hidden(inputs[1], mask)));
    if (attention.by.alibi) E = SoftmaxForm::with_alibi(E, mask.offset);
    Tensor counted = E;   // a query that is not there counts in no column
    if (mask.keys.defined()) {
      const Tensor none = Tensor::full({}, below_all_scores, E.dtype(), E.device());
      counted = where(reshape(mask.keys, {E.size(0), 1, E.size(2), 1}), E, none);
    }
    const Tensor c = reshape(logsumexp(transpose(counted)), {E.size(0), E.size(1), 1, E.size(3)});
    return mix(softmax(sub(E, c), mask), without_hidden(inputs[2], mask), mask);
  }
};

Tensor doubly_normalised_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Tensor& present, Flag alibi) {
  return tapir::apply(FusedDoublyNormalised{{Mask{.keys = present}.dense(), {alibi}}}, Q, K, V);
}

Tensor twicing_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi) {
  return tapir::apply(FusedTwicing{{mask.dense(), {alibi}}}, Q, K, V);
}

Tensor dot_product_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi, Flag own) {
  return tapir::apply(FusedAttention<DotProductForm>{mask.dense(), {alibi, own}}, std::vector<Tensor>{Q, K, V});
}

Tensor expressive_attention(const Tensor& Q, const Tensor& K, const Tensor& V, const Mask& mask, Flag alibi) {
  return tapir::apply(FusedAttention<ExpressiveForm>{mask.dense(), {alibi}}, std::vector<Tensor>{Q, K, V});
}

Tensor network_attention(const Tensor& a, const Tensor& c, const Tensor& V, const Tensor& weight, const Mask& mask,
                         Flag alibi) {
  return tapir::apply(FusedAttention<NetworkForm>{mask.dense(), {alibi}}, std::vector<Tensor>{a, c, V, weight});
}

Tensor deep_network_attention(const Tensor& a, const Tensor& c, const Tensor& V, const Tensor& hidden, const Tensor& weight,
                              const Mask& mask, Flag alibi) {
  return tapir::apply(FusedAttention<DeepNetworkForm>{mask.dense(), {alibi}}, std::vector<Tensor>{a, c, V, hidden, weight});
}

}  // namespace tapir
