// Convolutions. Images and sequences have their channels last: (B,H,W,C), (B,T,C) (autograd/ops/convolution.h).
#pragma once
#include "autograd/ops/convolution.h"
#include "nn/module.h"

namespace tapir::nn {

// Normal, deviation √(2/fan_in) of fan_in = kernel² inputs: for layers before a ReLU.   He et al. 2015, arXiv 1502.01852, eq. 10
Init he_of_convolution(int64_t kernel, int64_t inputs);

// Initial values where none are given are PyTorch's: W and b uniform in ±1/√fan_in, with the fan_in = kernel² in/groups inputs
// of an output, of a sequence kernel in/groups. Groups that do not fit throw Error.
struct Conv2d : Module {   // y = conv2d(x, W) + b, of a square kernel
  Conv2d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options = {}, bool with_bias = true);
  Conv2d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options, bool with_bias, const Init& weight_init,
         const Init& bias_init = Init::constant(0));
  Tensor forward(const Tensor& x) const;   // (B,H,W,in) → (B,H',W',out)

  ConvolutionOptions options;
  Parameter& weight;   // (kernel,kernel,in/groups,out)
  Parameter* bias;     // (out); null without
};

struct Conv1d : Module {   // y = conv1d(x, W) + b
  Conv1d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options = {}, bool with_bias = true);
  Conv1d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options, bool with_bias, const Init& weight_init,
         const Init& bias_init = Init::constant(0));
  Tensor forward(const Tensor& x) const;   // (B,T,in) → (B,T',out)

  ConvolutionOptions options;
  Parameter& weight;   // (kernel,in/groups,out)
  Parameter* bias;     // (out); null without
};

}  // namespace tapir::nn
