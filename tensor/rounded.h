// Rounded copies of a product's operands, for gemm_cpu.cc and gemm_cuda.cc.
#pragma once
#include <utility>

#include "tensor/gemm.h"
#include "tensor/parallel.h"
#include "tensor/precision.h"
#include "tensor/tensor.h"

namespace tapir {

template <class Format, class Element>
struct RoundRow {
  const float* from;
  Element* to;
  int64_t rows, width, leading, stride;   // of a matrix in `from`
  int64_t to_leading;                     // in `to` matrices follow each other
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const float* x = from + row / rows * stride + row % rows * leading;
    Element* y = to + row * to_leading;
    team.each(width, [&](int64_t i) { y[i] = static_cast<Element>(Format(x[i])); });
  }
};

// The matrices of an operand, rounded to Format and stored as Element; one that all products share, once. Rows begin at
// multiples of 16 bytes: tensor cores are slow to read others.
template <class Format, class Element>
struct Rounded {
  static constexpr int64_t aligned = 16 / sizeof(Element);
  int64_t leading, stride, count;
  Storage memory;

  Rounded(Device device, const float* from, int64_t batch, int64_t rows, int64_t width, int64_t from_leading,
          int64_t from_stride)
      : leading((width + aligned - 1) / aligned * aligned), stride(from_stride == 0 ? 0 : rows * leading), count(stride == 0 ? 1 : batch),
        memory(count * rows * leading * static_cast<int64_t>(sizeof(Element)), device) {
    for_each_row(device, count * rows, width,
                 RoundRow<Format, Element>{from, static_cast<Element*>(memory.data), rows, width, from_leading, from_stride,
                                           leading});
  }

  const Element* data() const { return static_cast<const Element*>(memory.data); }
};

// Calls multiply(q, a, b): q is p with the layout of a and b, which are p's operands rounded to Format, stored as Element.
template <class Format, class Element, class Multiply>
void with_rounded(Device device, const MatrixProduct<float>& p, const Multiply& multiply) {
  const auto [rows_a, width_a] = p.transpose_a ? std::pair(p.k, p.m) : std::pair(p.m, p.k);
  const auto [rows_b, width_b] = p.transpose_b ? std::pair(p.n, p.k) : std::pair(p.k, p.n);
  const Rounded<Format, Element> a(device, p.a, p.batch, rows_a, width_a, p.lda, p.stride_a);
  const Rounded<Format, Element> b(device, p.b, p.batch, rows_b, width_b, p.ldb, p.stride_b);
  MatrixProduct<float> q = p;
  q.lda = a.leading;
  q.stride_a = a.stride;
  q.ldb = b.leading;
  q.stride_b = b.stride;
  multiply(q, a.data(), b.data());
}

}  // namespace tapir
