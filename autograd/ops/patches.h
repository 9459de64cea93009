// Windows of images as rows, and back. Images have their channels last, (B,H,W,C).
#pragma once
#include "autograd/op_list.h"
#include "tensor/argument.h"
#include "tensor/tensor.h"

namespace tapir {

// Of both axes. padding: zeros on both sides, at most dilation · (kernel − 1), so that each window meets the image.
struct PatchOptions {
  int64_t stride = 1, padding = 0, dilation = 1;
};

// The windows of `rows` × `columns` places, each a row: (B,H,W,C) → (B,H',W',rows·columns·C),
// y(b,i,j,(u,v,c)) = x(b, i stride − padding + u dilation, j stride − padding + v dilation, c). Also known as im2col.
Tensor unfold(const Tensor& x, Count rows, Count columns, const PatchOptions& options = {});

// The adjoint, onto images of `height` × `width`: what windows have of one place is added.   (B,H',W',rows·columns·C) →
// (B,H,W,C)
Tensor fold(const Tensor& windows, Count height, Count width, Count rows, Count columns, const PatchOptions& options = {});

struct Unfold;
struct Fold;
using PatchOps = OpList<Unfold, Fold>;
template <OneOf<PatchOps> Op> inline constexpr bool is_listed<Op> = true;

}  // namespace tapir
