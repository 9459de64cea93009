// All ops of autograd/, for the tests. The kernels of attention/ have a list of their own there.
#pragma once
#include "autograd/ops.h"

namespace tapir {

using AllOps = decltype(ArithmeticOps{} + UnaryOps{} + MatmulOps{} + SumOps{} + ReductionOps{} + ScanOps{} + SoftmaxOps{} +
                        ShapeOps{} + EmbeddingOps{} + IndexOps{} + InterpolationOps{} + FourierOps{} + LayerNormOps{} +
                        DropoutOps{} + RmsNormOps{} + GroupNormOps{} + BatchNormOps{} + CrossEntropyOps{} + PairLossOps{} +
                        ConvolutionOps{} + PatchOps{});

}  // namespace tapir
