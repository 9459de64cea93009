#include "attention/kernels/rotary.h"

#include <cmath>

#include "autograd/apply.h"
#include "autograd/node.h"
#include "autograd/ops/shape.h"
#include "tensor/mask.h"
#include "tensor/parallel.h"
#include "tensor/sine.h"

namespace tapir {
namespace {

// cosine and sine of (t + offset) θ_i; angles in double, whatever T is
template <class T> struct TurnTable {
  const double* rates;   // θ (D/2)
  T *cosines, *sines;    // (T,D/2)
  int64_t pairs, offset;
  HD void operator()(int64_t i) const {
    const double angle = static_cast<double>(i / pairs + offset) * rates[i % pairs];
    cosines[i] = static_cast<T>(math::cos(angle));
    sines[i] = static_cast<T>(math::sin(angle));
  }
};

template <class T> struct TurnRow {
  const T *x, *cosines, *sines;
  T* y;
  int64_t tokens, pairs;
  T direction;   // 1, or −1 to turn back
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* a = x + row * 2 * pairs;
    T* out = y + row * 2 * pairs;
    const int64_t place = row % tokens * pairs;
    team.each(pairs, [&](int64_t i) {
      const T c = cosines[place + i], s = direction * sines[place + i];
      out[2 * i] = a[2 * i] * c - a[2 * i + 1] * s;
      out[2 * i + 1] = a[2 * i] * s + a[2 * i + 1] * c;
    });
  }
};

Tensor rates(int64_t pairs, Device device) {
  std::vector<double> values(pairs);
  for (int64_t i = 0; i < pairs; ++i) values[i] = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(pairs));
  return Tensor::from(values, {pairs}, device);
}

}  // namespace

// A rotation: dx is g turned back.
struct Rotary {
  static constexpr const char* name = "rotary";
  int64_t offset;
  bool back = false;

  Tensor forward(const Tensor& x_) {
    require(x_.rank() >= 2 && x_.size(-1) % 2 == 0, name,
            [&] { return text("needs (…,T,D) with an even D, got ", x_.shape()); });
    require_offset(name, offset);
    const Tensor x = x_.contiguous(), y = Tensor::empty(x.shape(), x.dtype(), x.device());
    const int64_t tokens = x.size(-2), pairs = x.size(-1) / 2;
    with_float(name, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (x.elements() == 0) return;   // whatever the width
      const Tensor theta = rates(pairs, x.device());
      const Tensor cosines = Tensor::empty({tokens, pairs}, x.dtype(), x.device());
      const Tensor sines = Tensor::empty({tokens, pairs}, x.dtype(), x.device());
      for_each(x.device(), tokens * pairs,
               TurnTable<T>{theta.data<double>(), cosines.data<T>(), sines.data<T>(), pairs, offset});
      for_each_row(x.device(), pairs ? x.elements() / (2 * pairs) : 0, 2 * pairs,
                   TurnRow<T>{x.data<T>(), cosines.data<T>(), sines.data<T>(), y.data<T>(), tokens, pairs,
                              back ? T(-1) : T(1)});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {apply(Rotary{offset, !back}, g)}; }
};
Tensor rotary(const Tensor& x, Count offset) { return apply(Rotary{offset}, x); }

Tensor rotary_grid(const Tensor& x, Count class_tokens, Count rows, Count columns) {
  const Called called("rotary_grid");
  const int64_t cells = Shape{rows, columns}.elements("rotary_grid");
  require(x.rank() >= 2 && x.size(-1) % 4 == 0 && class_tokens >= 0 && class_tokens == x.size(-2) - cells, "rotary_grid", [&] {
    return text("needs (…,", class_tokens, " + ", rows, " × ", columns, ",D) with D a multiple of 4, got ", x.shape());
  });
  const int64_t half = x.size(-1) / 2;
  Shape grid = x.shape().with(-2, rows).with(-1, columns);
  grid.push_back(2 * half);
  const Tensor of_cells = reshape(slice(x, -2, class_tokens, cells), grid);
  const Tensor by_row = transpose(rotary(transpose(slice(of_cells, -1, 0, half), -3, -2)), -3, -2);
  const Tensor by_column = rotary(slice(of_cells, -1, half, half));
  const Tensor turned = reshape(concat({by_row, by_column}, -1), x.shape().with(-2, cells));
  return class_tokens == 0 ? turned : concat({slice(x, -2, 0, class_tokens), turned}, -2);
}

}  // namespace tapir
