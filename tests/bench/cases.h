// Ops in f32 and a step of an optimiser, at sizes worth timing.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "autograd/backward.h"
#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "nn/layers/linear.h"
#include "nn/optim/optimiser.h"
#include "tensor/random.h"

namespace tapir {

inline Tensor uniform(const Shape& shape) {   // on [0.1, 1], where every op is smooth
  static uint32_t drawn = 0;
  Tensor x = Tensor::empty(shape, DType::f32);
  uniform_(x, 0.1, 1, {.seed = 1, .step = drawn++, .site = site_of("bench")});
  return x;
}

inline Tensor tokens(int64_t count, int64_t vocabulary) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(i * 7919 % vocabulary));
  return Tensor::from(ids, {count});
}

struct Case {
  std::vector<Shape> inputs;
  Function f;
};

template <Tensor (*op)(const Tensor&)>
Case one(const Shape& shape) {
  return {{shape}, [](const std::vector<Tensor>& x) { return op(x[0]); }};
}

template <Tensor (*op)(const Tensor&, const Tensor&)>
Case two(const Shape& a, const Shape& b) {
  return {{a, b}, [](const std::vector<Tensor>& x) { return op(x[0], x[1]); }};
}

// Shapes are those of pytorch_ops.py, with `scale` times as many rows.
inline std::map<std::string, Case> cases(int64_t scale) {
  const int64_t lines = 2048 * scale;
  const Shape wide{lines, 1024}, rows{8 * lines, 256}, width{lines, 768};
  std::map<std::string, Case> table{
      {"add", two<add>(wide, wide)}, {"sub", two<sub>(wide, wide)}, {"mul", two<mul>(wide, wide)},
      {"div", two<div>(wide, wide)}, {"bias_add", two<add>(wide, {1024})}, {"maximum", two<maximum>(wide, wide)},
      {"neg", one<neg>(wide)}, {"exp", one<exp>(wide)}, {"log", one<log>(wide)}, {"sqrt", one<sqrt>(wide)},
      {"rsqrt", one<rsqrt>(wide)}, {"square", one<square>(wide)}, {"sin", one<sin>(wide)}, {"tanh", one<tanh>(wide)},
      {"sigmoid", one<sigmoid>(wide)}, {"softplus", one<softplus>(wide)}, {"relu", one<relu>(wide)},
      {"gelu", one<gelu>(wide)}, {"gelu_tanh", one<gelu_tanh>(wide)}, {"silu", one<silu>(wide)}, {"erf", one<erf>(wide)},
      {"mish", one<mish>(wide)}, {"elu", {{wide}, [](const auto& x) { return elu(x[0]); }}},
      {"softmax", one<static_cast<Tensor (*)(const Tensor&)>(softmax)>(rows)}, {"log_softmax", one<log_softmax>(rows)},
      {"logsumexp", one<logsumexp>(rows)},
      {"sum_rows", {{wide}, [](const auto& x) { return sum(x[0], 1); }}},
      {"sum_columns", {{wide}, [](const auto& x) { return sum(x[0], 0); }}},
      {"sum_all", {{wide}, [](const auto& x) { return sum(x[0]); }}},
      {"matmul_512", two<matmul>({512, 512}, {512, 512})},
      {"matmul_heads", two<matmul>({32 * scale, 256, 64}, {32 * scale, 64, 256})},
      {"linear", {{width, {3072, 768}, {3072}}, [](const auto& x) { return linear(x[0], x[1], x[2]); }}},
      {"linear_256", {{{8192 * scale, 256}, {256, 256}, {256}}, [](const auto& x) { return linear(x[0], x[1], x[2]); }}},
      {"linear_up", {{{8192 * scale, 256}, {1024, 256}, {1024}}, [](const auto& x) { return linear(x[0], x[1], x[2]); }}},
      {"linear_down", {{{8192 * scale, 1024}, {256, 1024}, {256}}, [](const auto& x) { return linear(x[0], x[1], x[2]); }}},
      {"layer_norm", {{width, {768}, {768}}, [](const auto& x) { return layer_norm(x[0], x[1], x[2]); }}},
      {"rms_norm", {{width, {768}}, [](const auto& x) { return rms_norm(x[0], x[1]); }}},
      {"group_norm",
       {{{16 * scale, 64, 32, 32}, {64}, {64}}, [](const auto& x) { return group_norm(x[0], 8, x[1], x[2]); }}},
      {"var_rows", {{wide}, [](const auto& x) { return var(x[0], 1); }}},
      {"norm_rows", {{wide}, [](const auto& x) { return norm(x[0], 2, 1); }}},
      {"max_rows", {{wide}, [](const auto& x) { return max(x[0], 1); }}},
      {"cumsum_rows", {{wide}, [](const auto& x) { return cumsum(x[0], 1); }}},
      {"cumsum_columns", {{wide}, [](const auto& x) { return cumsum(x[0], 0); }}},
      {"index_select", {{wide}, [ids = tokens(lines, lines)](const auto& x) { return index_select(x[0], 0, ids); }}},
      {"bilinear_colours", {{{16 * scale, 64, 64, 3}}, [](const auto& x) { return bilinear(x[0], 224, 224); }}},
      {"bilinear_channels", {{{16 * scale, 14, 14, 384}}, [](const auto& x) { return bilinear(x[0], 24, 24); }}},
      {"pixel_shuffle", {{{16 * scale, 64, 64, 48}}, [](const auto& x) { return pixel_shuffle(x[0], 4); }}},
      {"rfft", one<rfft>(wide)}, {"irfft", {{{lines, 513, 2}}, [](const auto& x) { return irfft(x[0], 1024); }}},
      {"sort_rows", {{wide}, [](const auto& x) { return sort(x[0]).values; }}},
      {"bce_with_logits", two<bce_with_logits>(wide, wide)},
      {"concat", {{wide, wide}, [](const auto& x) { return concat({x[0], x[1]}, 1); }}},
      {"transpose_copy", {{wide}, [](const auto& x) { return mul(transpose(x[0]), transpose(x[0])); }}},
      {"dropout", {{wide}, [](const auto& x) { return dropout(x[0], 0.1, {.seed = 1, .step = 0, .site = 1}); }}},
  };
  const auto convolution = [&](const std::string& name, const Shape& x, const Shape& weight,
                               const ConvolutionOptions& options) {
    table[name] = {{x, weight}, [options](const auto& in) { return conv2d(in[0], in[1], options); }};
  };
  const int64_t images = 32 * scale;
  convolution("conv2d_3", {images, 32, 32, 3}, {3, 3, 3, 64}, {.padding = 1});
  convolution("conv2d_16", {images, 32, 32, 16}, {3, 3, 16, 16}, {.padding = 1});
  convolution("conv2d_64", {images, 32, 32, 64}, {3, 3, 64, 64}, {.padding = 1});
  convolution("conv2d_128", {images, 16, 16, 128}, {3, 3, 128, 128}, {.padding = 1});
  convolution("conv2d_256", {images, 8, 8, 256}, {3, 3, 256, 256}, {.padding = 1});
  convolution("conv2d_stride", {images, 32, 32, 64}, {3, 3, 64, 128}, {.stride = 2, .padding = 1});
  convolution("conv2d_1x1", {images, 32, 32, 64}, {1, 1, 64, 128}, {.stride = 2});
  convolution("depthwise_64", {images, 32, 32, 64}, {3, 3, 1, 64}, {.padding = 1, .groups = 64});
  convolution("depthwise_128", {images, 16, 16, 128}, {3, 3, 1, 128}, {.padding = 1, .groups = 128});
  for (const int64_t vocabulary : {int64_t{10000}, int64_t{33278}})
    table["cross_entropy_" + std::to_string(vocabulary)] = {
        {{lines, vocabulary}},
        [targets = tokens(lines, vocabulary)](const auto& x) { return cross_entropy(x[0], targets); }};
  table["embedding"] = {{{33278, 512}}, [ids = tokens(lines, 33278)](const auto& x) { return embedding(x[0], ids); }};
  return table;
}

// Runs the case on inputs of its own: forward, or forward with a graph and its gradients.
inline std::function<void()> runner(const Case& one, bool with_gradient) {
  std::vector<Tensor> inputs;
  for (const Shape& shape : one.inputs) inputs.push_back(uniform(shape));
  if (!with_gradient)
    return [inputs, f = one.f] {
      const NoGrad guard;
      f(inputs);
    };
  for (Tensor& input : inputs) input = requires_grad(input);
  const Tensor g = uniform(one.f(inputs).shape());
  return [inputs, f = one.f, g] { grad({f(inputs)}, inputs, {g}); };
}

// AdamW on one parameter of 8 million numbers.
inline std::function<void()> adamw() {
  const auto model = std::make_shared<nn::Linear>(1024, 8192, false, nn::Init::normal(0.02));
  model->initialise(1);
  const std::shared_ptr<nn::Optimiser> optimiser = nn::OptimiserOptions{}.make(*model);
  model->each_parameter([](const std::string&, nn::Parameter& parameter) {
    set_gradient(parameter.value, uniform(parameter.shape));
  });
  return [model, optimiser] { optimiser->step(1e-4); };
}

}  // namespace tapir
