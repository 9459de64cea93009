// Convolutions and their adjoints. Images have their channels last: B images of H rows, W columns and C channels are x
// (B,H,W,C), sequences x (B,T,C). A weight (kh,kw,C/groups,O) is PyTorch's (O,C/groups,kh,kw) permuted by {2, 3, 1, 0}, one of
// sequences (k,C/groups,O) its (O,C/groups,k) by {2, 1, 0}; so is one of a transposed convolution, whose O are the channels
// that it is given.
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// Of all axes of an image or sequence. padding: zeros on both sides, at most dilation · (kernel − 1), so that each window
// meets the image. Output channels o of group γ, O/groups in each, see its C/groups input channels alone. A weight that
// is NaN or infinite may make NaN of outputs and gradients that have zeros where it stands.
struct ConvolutionOptions {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};

// y(b,i,j,o) = Σ_{u,v,c} x(b, i stride − padding + u dilation, j stride − padding + v dilation, c) w(u,v,c,o)
// (B,H,W,C), (kh,kw,C/groups,O) → (B,H',W',O),  H' = ⌊(H + 2 padding − dilation (kh − 1) − 1)/stride⌋ + 1
// (Dumoulin & Visin 2016)
Tensor conv2d(const Tensor& x, const Tensor& weight, const ConvolutionOptions& options = {});
Tensor conv1d(const Tensor& x, const Tensor& weight, const ConvolutionOptions& options = {});   // (B,T,C), (k,C/groups,O)

// What conv2d takes from g to the gradient of x: (B,H',W',O), (kh,kw,C/groups,O) → (B,H,W,C). Of the stride sizes H that give
// H', the least one and `added` more rows and columns, 0 ≤ added < stride.
Tensor conv_transpose2d(const Tensor& g, const Tensor& weight, const ConvolutionOptions& options = {}, Count added = 0);
Tensor conv_transpose1d(const Tensor& g, const Tensor& weight, const ConvolutionOptions& options = {}, Count added = 0);

// What conv2d takes from g to the gradient of a weight of `rows` × `columns`: (B,H,W,C), (B,H',W',O) →
// (rows,columns,C/groups,O).
Tensor conv2d_weight(const Tensor& x, const Tensor& g, Count rows, Count columns, const ConvolutionOptions& options = {});

struct Conv2d;
struct ConvTranspose2d;
struct Conv2dWeight;
using ConvolutionOps = OpList<Conv2d, ConvTranspose2d, Conv2dWeight>;
template <OneOf<ConvolutionOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir
