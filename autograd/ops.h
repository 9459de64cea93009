// The ops: everything a user calls, one line of mathematics each. All take views of any strides, check what they are given,
// and throw an Error that names the function that was called and the shapes in full. Those with a result in f32 or f64 are
// differentiable any number of times that their formulas allow, at least twice; whole numbers have no gradient and no node.
//
// Letters: x, a, b inputs; y the result. Axes may be negative: −1 is the last. Arithmetic broadcasts as NumPy does. Numbers
// are finite unless their line says more, ε is ≥ 0, NaN is in no range. An Axis is an int, a Flag a bool, a Count whole, a
// Number any number, and none of them is taken for another (tensor/argument.h): sum(x, true) does not compile.
//
// NaN in an input is NaN in every element that depends on it, however little, and in no other. What a mask hides is not read.
// Only a definition lets 0 hide NaN: x⁰ = 1, p = 0 in kl_div, and this: an element whose cotangent is 0 takes no part in the
// gradient, even where its derivative is infinite or NaN. So where() hides √x at 0 and a/b at b = 0, forwards and backwards.
// Excepted are products and rows, where 0 · NaN is NaN: matmul, linear, convolutions, linear_recurrence, logcumsumexp,
// logsumexp, softmax, the norms of layers, and attention. Where an op has no derivative, the sub-gradient is named beside it.
//
// Losses are sums over rows or elements, not means. The caller divides, once, by the count of the whole batch: sums of its
// parts (accumulated steps, several machines) add up to the loss of the whole; means of parts of different size do not.
//
// Each family has a header of its own, for those who would not be compiled again with the others.
#pragma once
#include "autograd/operators.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/fourier.h"
#include "autograd/ops/group_norm.h"
#include "autograd/ops/index.h"
#include "autograd/ops/interpolation.h"
#include "autograd/ops/layer_norm.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pair_loss.h"
#include "autograd/ops/patches.h"
#include "autograd/ops/pooling.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/rms_norm.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
