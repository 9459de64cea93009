// Every function of ops.h and op of attention/, called once with tensors that fit, so that tests can call it with others.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "attention/kernels/all_ops.h"
#include "autograd/examples/example.h"
#include "autograd/ops.h"

namespace tapir {

struct OpCall {
  std::string name;              // of the function, which its errors must bear
  std::vector<Tensor> tensors;   // all that it is given, indices and masks included
  std::function<Tensor(const std::vector<Tensor>&)> call;
  std::function<void(int axis)> along{};   // the first of them, along an axis; empty: there is none
};

// 1/8, 2/8, … 7/8, again and again: sums of products are exact.
inline Tensor eighths(const Shape& shape) {
  std::vector<double> values;
  for (int64_t i = 0; i < shape.elements(); ++i) values.push_back(static_cast<double>(i % 7 + 1) / 8);
  return Tensor::from(values, shape);
}

inline std::vector<OpCall> calls_of_every_op() {
  const Tensor x = eighths({2, 3}), line = eighths({3}), heads = eighths({1, 1, 2, 3});
  const Tensor keys = u8({1, 1, 0}, {1, 3}), places = i32({0, 1, 2, 0, 1, 2}, {2, 3});
  std::vector<OpCall> all;
  const auto add_call = [&](const char* name, const std::vector<Tensor>& tensors,
                            const std::function<Tensor(const std::vector<Tensor>&)>& call,
                            const std::function<void(int)>& along = {}) { all.push_back({name, tensors, call, along}); };
#define TAPIR_CALL(name, tensors, call, ...) add_call(#name, tensors, [](const auto& t) { return call; }, ##__VA_ARGS__);
#define TAPIR_LIST(...) {__VA_ARGS__}
#define TAPIR_ALONG(call) [=](int axis) { call; }
#define TAPIR_ONE(name) add_call(#name, {x}, [](const auto& t) { return name(t[0]); });
#define TAPIR_TWO(name) add_call(#name, {x, x}, [](const auto& t) { return name(t[0], t[1]); });
  TAPIR_ONE(identity) TAPIR_TWO(add) TAPIR_TWO(sub) TAPIR_TWO(mul) TAPIR_TWO(div) TAPIR_TWO(maximum) TAPIR_TWO(minimum)
  TAPIR_TWO(chain) TAPIR_TWO(pow)
  TAPIR_ONE(contiguous) TAPIR_ONE(copy)
  TAPIR_CALL(to, {x}, to(t[0], DType::f32))
  TAPIR_CALL(affine, {x}, affine(t[0], 2, 1))
  TAPIR_CALL(where, TAPIR_LIST(u8({1, 0, 1}, {3}), x, x), where(t[0], t[1], t[2]))

#define TAPIR_COMPARISON(name) TAPIR_TWO(name) TAPIR_CALL(name, {x}, name(t[0], 0.5))
  TAPIR_COMPARISON(less) TAPIR_COMPARISON(less_equal) TAPIR_COMPARISON(greater) TAPIR_COMPARISON(greater_equal)
  TAPIR_COMPARISON(equal) TAPIR_COMPARISON(not_equal)

  TAPIR_ONE(neg) TAPIR_ONE(exp) TAPIR_ONE(log) TAPIR_ONE(log1p) TAPIR_ONE(expm1) TAPIR_ONE(sqrt) TAPIR_ONE(rsqrt)
  TAPIR_ONE(abs) TAPIR_ONE(square) TAPIR_ONE(reciprocal) TAPIR_ONE(sin) TAPIR_ONE(cos) TAPIR_ONE(tanh) TAPIR_ONE(sigmoid)
  TAPIR_ONE(softplus) TAPIR_ONE(relu) TAPIR_ONE(gelu) TAPIR_ONE(gelu_tanh) TAPIR_ONE(silu) TAPIR_ONE(erf)
  TAPIR_ONE(log_sigmoid) TAPIR_ONE(mish) TAPIR_ONE(leaky_relu) TAPIR_ONE(elu) TAPIR_ONE(finite)
  TAPIR_CALL(clamp, {x}, clamp(t[0], 0, 1))
  TAPIR_CALL(pow, {x}, pow(t[0], 3))

  TAPIR_CALL(matmul, TAPIR_LIST(eighths({4, 2, 3}), eighths({4, 3, 2})), matmul(t[0], t[1]))
  TAPIR_CALL(linear, TAPIR_LIST(x, eighths({4, 3})), linear(t[0], t[1]))
  TAPIR_CALL(linear, TAPIR_LIST(x, eighths({4, 3}), eighths({4})), linear(t[0], t[1], t[2]))

  TAPIR_CALL(conv2d, TAPIR_LIST(eighths({1, 3, 3, 2}), eighths({2, 2, 1, 4})), conv2d(t[0], t[1], {.padding = 1, .groups = 2}))
  TAPIR_CALL(conv1d, TAPIR_LIST(eighths({2, 5, 2}), eighths({2, 2, 3})), conv1d(t[0], t[1], {.stride = 2, .padding = 1}))
  TAPIR_CALL(conv_transpose2d, TAPIR_LIST(eighths({1, 2, 3, 4}), eighths({2, 2, 3, 4})),
             conv_transpose2d(t[0], t[1], {.stride = 2}, 1))
  TAPIR_CALL(conv_transpose1d, TAPIR_LIST(eighths({2, 3, 4}), eighths({2, 3, 4})), conv_transpose1d(t[0], t[1]))
  TAPIR_CALL(conv2d_weight, TAPIR_LIST(eighths({1, 3, 3, 2}), eighths({1, 2, 2, 3})), conv2d_weight(t[0], t[1], 2, 2))
  TAPIR_CALL(unfold, {eighths({1, 3, 4, 2})}, unfold(t[0], 2, 3, {.padding = 1}))
  TAPIR_CALL(max_pool2d, {eighths({1, 3, 4, 2})}, max_pool2d(t[0], 2, 3, {.padding = 1}))
  TAPIR_CALL(average_pool2d, {eighths({1, 3, 4, 2})}, average_pool2d(t[0], 2, 2, {.stride = 2}))
  TAPIR_CALL(adaptive_average_pool2d, {eighths({1, 3, 4, 2})}, adaptive_average_pool2d(t[0], 2, 4))
  TAPIR_CALL(fold, {eighths({1, 2, 3, 8})}, fold(t[0], 3, 4, 2, 2))

  TAPIR_ONE(sum) TAPIR_ONE(mean) TAPIR_ONE(var) TAPIR_ONE(max) TAPIR_ONE(min)
  TAPIR_CALL(sum, {x}, sum(t[0], 1), TAPIR_ALONG(sum(x, axis)))
  TAPIR_CALL(mean, {x}, mean(t[0], 1), TAPIR_ALONG(mean(x, axis)))
  TAPIR_CALL(sum_to, {x}, sum_to(t[0], {3}))
  TAPIR_CALL(var, {x}, var(t[0], 1), TAPIR_ALONG(var(x, axis)))
  TAPIR_CALL(max, {x}, max(t[0], 1), TAPIR_ALONG(max(x, axis)))
  TAPIR_CALL(min, {x}, min(t[0], 1), TAPIR_ALONG(min(x, axis)))
  TAPIR_CALL(norm, {x}, norm(t[0], 1)) TAPIR_CALL(norm, {x}, norm(t[0], 2)) TAPIR_CALL(norm, {x}, norm(t[0], HUGE_VAL))
  TAPIR_CALL(norm, {x}, norm(t[0], 1, 1), TAPIR_ALONG(norm(x, 1, axis)))
  TAPIR_CALL(norm, {x}, norm(t[0], 2, 1), TAPIR_ALONG(norm(x, 2, axis)))
  TAPIR_CALL(norm, {x}, norm(t[0], HUGE_VAL, 1), TAPIR_ALONG(norm(x, HUGE_VAL, axis)))

  TAPIR_CALL(cumsum, {x}, cumsum(t[0], 1), TAPIR_ALONG(cumsum(x, axis)))
  TAPIR_CALL(logcumsumexp, {x}, logcumsumexp(t[0], 1), TAPIR_ALONG(logcumsumexp(x, axis)))
  TAPIR_CALL(linear_recurrence, TAPIR_LIST(x, x), linear_recurrence(t[0], t[1], 1), TAPIR_ALONG(linear_recurrence(x, x, axis)))

  TAPIR_ONE(logsumexp) TAPIR_ONE(log_softmax) TAPIR_ONE(softmax)
  TAPIR_CALL(softmax, TAPIR_LIST(heads, keys), softmax(t[0], Mask{.causal = true, .offset = 1, .keys = t[1]}))

  TAPIR_CALL(reshape, {x}, reshape(t[0], {3, 2}))
  TAPIR_CALL(transpose, {x}, transpose(t[0]), TAPIR_ALONG(transpose(x, 0, axis)))
  TAPIR_CALL(slice, {x}, slice(t[0], 1, 1, 2), TAPIR_ALONG(slice(x, axis, 0, 1)))
  TAPIR_CALL(expand, {x}, expand(t[0], {4, 2, 3}))
  TAPIR_CALL(concat, TAPIR_LIST(x, x, x), concat(t, 1), TAPIR_ALONG(concat({x, x}, axis)))
  TAPIR_CALL(stack, TAPIR_LIST(x, x, x), stack(t, 1), TAPIR_ALONG(stack({x, x}, axis)))
  TAPIR_CALL(pad, {x}, pad(t[0], 1, 1, 2), TAPIR_ALONG(pad(x, axis, 1, 1)))
  TAPIR_CALL(permute, {x}, permute(t[0], {1, 0}), TAPIR_ALONG(permute(x, {0, axis})))
  TAPIR_CALL(flip, {x}, flip(t[0], 1), TAPIR_ALONG(flip(x, axis)))
  TAPIR_ONE(tril) TAPIR_ONE(triu)
  TAPIR_CALL(pixel_shuffle, {eighths({1, 2, 3, 4})}, pixel_shuffle(t[0], 2))
  TAPIR_CALL(pixel_unshuffle, {eighths({1, 2, 4, 3})}, pixel_unshuffle(t[0], 2))

  TAPIR_CALL(interpolate, {x}, interpolate(t[0], 1, 6), TAPIR_ALONG(interpolate(x, axis, 6)))
  TAPIR_CALL(interpolate_adjoint, {x}, interpolate_adjoint(t[0], 1, 2), TAPIR_ALONG(interpolate_adjoint(x, axis, 2)))
  TAPIR_ONE(rfft)
  TAPIR_CALL(irfft, {eighths({2, 3, 2})}, irfft(t[0], 5))
  TAPIR_CALL(bilinear, {eighths({1, 2, 3, 2})}, bilinear(t[0], 4, 6))

  TAPIR_CALL(embedding, TAPIR_LIST(x, i32({1, 0}, {2})), embedding(t[0], t[1]))
  TAPIR_CALL(scatter_rows, TAPIR_LIST(x, i32({1, 0}, {2})), scatter_rows(t[0], t[1], 4))
  TAPIR_CALL(gather, TAPIR_LIST(x, places), gather(t[0], 1, t[1]), TAPIR_ALONG(gather(x, axis, places)))
  TAPIR_CALL(index_select, TAPIR_LIST(x, i32({1, 0}, {2})), index_select(t[0], 1, t[1]),
             TAPIR_ALONG(index_select(x, axis, i32({0}, {1}))))
  TAPIR_CALL(scatter_add, TAPIR_LIST(x, places, x), scatter_add(t[0], 1, t[1], t[2]),
             TAPIR_ALONG(scatter_add(x, axis, places, x)))
  TAPIR_CALL(sort, {x}, sort(t[0], 1).values, TAPIR_ALONG(sort(x, axis)))
  TAPIR_CALL(topk, {x}, topk(t[0], 2, 1).values, TAPIR_ALONG(topk(x, 1, axis)))
  TAPIR_CALL(argmax, {x}, argmax(t[0], 1), TAPIR_ALONG(argmax(x, axis)))
  TAPIR_CALL(argmin, {x}, argmin(t[0], 1), TAPIR_ALONG(argmin(x, axis)))

  TAPIR_CALL(layer_norm, TAPIR_LIST(x, line, line), layer_norm(t[0], t[1], t[2]))
  TAPIR_CALL(dropout, {x}, dropout(t[0], 0.5, RandomKey{})) TAPIR_CALL(dropout, {x}, dropout(t[0], 0, RandomKey{}))
  TAPIR_CALL(rms_norm, TAPIR_LIST(x, line), rms_norm(t[0], t[1]))
  TAPIR_CALL(group_norm, TAPIR_LIST(x, line, line), group_norm(t[0], 1, t[1], t[2]))
  TAPIR_CALL(batch_norm, TAPIR_LIST(x, line, line), batch_norm(t[0], t[1], t[2]).y,
             TAPIR_ALONG(batch_norm(x, line, line, axis)))
  TAPIR_CALL(batch_norm, TAPIR_LIST(x, line, line, line, line), batch_norm(t[0], t[1], t[2], t[3], t[4]),
             TAPIR_ALONG(batch_norm(x, line, line, line, line, axis)))

  TAPIR_CALL(cross_entropy, TAPIR_LIST(x, i32({1, 2}, {2})), cross_entropy(t[0], t[1]))
  TAPIR_TWO(squared_error) TAPIR_TWO(l1) TAPIR_TWO(smooth_l1) TAPIR_TWO(bce_with_logits) TAPIR_TWO(kl_div)
#undef TAPIR_COMPARISON
#undef TAPIR_TWO
#undef TAPIR_ONE
#undef TAPIR_ALONG
#undef TAPIR_LIST
#undef TAPIR_CALL
  return all;
}

inline std::vector<OpCall> calls_of_attention() {
  const Tensor heads = eighths({2, 1, 2, 3}), keys = u8({1, 1, 0, 1, 0, 1}, {2, 3}), three = eighths({2, 1, 3, 3});
  const auto mask = [](const Tensor& present) { return Mask{.causal = true, .offset = 1, .keys = present}; };
  return {
      {"expressive_weights", {heads, keys}, [=](const auto& t) { return expressive_weights(t[0], mask(t[1]), true); }},
      {"mix", {heads, three, keys}, [=](const auto& t) { return mix(t[0], t[1], mask(t[2])); }},
      {"pair_hidden", {heads, three, eighths({1, 2, 3})},
       [=](const auto& t) { return pair_hidden(t[0], t[1], t[2], mask({})); }},
      {"pair_hidden_tanh", {heads, three, eighths({1, 2, 3})},
       [=](const auto& t) { return pair_hidden_tanh(t[0], t[1], t[2], mask({})); }},
      {"rotary", {eighths({2, 3, 4})}, [](const auto& t) { return rotary(t[0], 1); }},
      {"dot_product_attention", {heads, three, three, keys},
       [=](const auto& t) { return dot_product_attention(t[0], t[1], t[2], mask(t[3]), true, false); }},
      {"twicing_attention", {heads, eighths({2, 1, 2, 3}), eighths({2, 1, 2, 4}), u8({1, 0, 1, 1}, {2, 2})},
       [=](const auto& t) { return twicing_attention(t[0], t[1], t[2], {.causal = true, .keys = t[3]}, true); }},
      {"doubly_normalised_attention", {heads, eighths({2, 1, 2, 3}), eighths({2, 1, 2, 4}), u8({1, 0, 1, 1}, {2, 2})},
       [](const auto& t) { return doubly_normalised_attention(t[0], t[1], t[2], t[3], true); }},
      {"expressive_attention", {heads, three, three, keys},
       [=](const auto& t) { return expressive_attention(t[0], t[1], t[2], mask(t[3]), true); }},
      {"network_attention", {heads, three, three, eighths({1, 3}), keys},
       [=](const auto& t) { return network_attention(t[0], t[1], t[2], t[3], mask(t[4]), true); }},
      {"deep_network_attention", {heads, three, three, eighths({1, 2, 3}), eighths({1, 2}), keys},
       [=](const auto& t) { return deep_network_attention(t[0], t[1], t[2], t[3], t[4], mask(t[5]), true); }},
  };
}

}  // namespace tapir
