// Examples of an op: from one row the sweep (test_sweep.cc) makes every judgement: value, gradient, double gradient,
// strides, threads, repetition, errors. The rows are built into the program too: `tapir check --all` (check_ops.h).
#pragma once
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "autograd/gradcheck.h"

namespace tapir {

// Row-major values in double, for references that share no code with the ops.
struct Array {
  Shape shape;
  std::vector<double> values;
};

using Arrays = std::vector<Array>;
using Index = std::vector<int64_t>;
using Reference = std::function<Array(const Arrays&)>;

// Random values in [low, high]; with a grid low + k grid, so that a kink between the lines is not touched.
struct Argument {
  Shape shape;
  double low = -2, high = 2, grid = 0;
};

struct Example {
  std::string label;
  Function function;
  std::vector<Argument> inputs;
  Reference reference;
  bool may_vanish = false;      // an input's whole gradient may be zero
  bool second_order = true;     // false where the gradient jumps
  bool nan_elsewhere = false;   // NaN goes where another value would not: it is sorted last, or meets a factor 0
  double relative_f32 = 2e-6;   // |y − reference| ≤ relative max(1, |reference|)
  double relative_f64 = 1e-12;
};

// A call that must throw an Error with all of `words` in its text.
struct BadCall {
  std::function<void()> call;
  std::vector<std::string> words;
};

struct OpExamples {
  std::string op;   // its name in the graph and in errors
  std::vector<Example> rows;
  std::vector<BadCall> errors;
  bool any_type = false;        // it moves elements of every type
  int64_t smallest = 1;         // elements of the smallest input that it takes
  bool strided_bits = true;     // false: strided operands take another kernel, which rounds differently
};

// Not defined: an op of AllOps without its specialisation, with `static OpExamples all()`, does not compile.
template <class Op> struct Examples;

// Those of every op of every list, and a row's inputs: values that f32 holds exactly, the same for each type.
// In attention/reproduce/program/check_ops.cc.
std::vector<OpExamples> examples_of_every_op();
Tensor input_of(const Example& row, size_t argument, DType type, uint64_t seed = 0);
std::vector<Tensor> inputs_of(const Example& row, DType type, uint64_t seed = 0);

// ---- scalar loops for references
// -----------------------------------------------------------------------------------------

// The array of `shape` with element(index) everywhere.
template <class Element>
Array build(const Shape& shape, const Element& element) {
  Array y{shape, {}};
  Index index(shape.rank(), 0);
  for (int64_t i = 0; i < shape.elements(); ++i) {
    y.values.push_back(element(index));
    for (int axis = shape.rank() - 1; axis >= 0 && ++index[axis] == shape[axis]; --axis) index[axis] = 0;
  }
  return y;
}

// x at an index of an array that x broadcasts to.
inline double at(const Array& x, const Index& index) {
  const int added = static_cast<int>(index.size()) - x.shape.rank();
  int64_t place = 0;
  for (int axis = 0; axis < x.shape.rank(); ++axis)
    place = place * x.shape[axis] + (x.shape[axis] == 1 ? 0 : index[added + axis]);
  return x.values[place];
}

inline Shape common_shape(const Arrays& in) {
  Shape shape;
  int rank = 0;
  for (const Array& x : in) rank = std::max(rank, x.shape.rank());
  for (int axis = -rank; axis < 0; ++axis) {
    int64_t extent = 1;
    for (const Array& x : in)
      if (-axis <= x.shape.rank() && x.shape[axis] != 1) extent = x.shape[axis];
    shape.push_back(extent);
  }
  return shape;
}

inline Reference pointwise(double (*f)(double)) {
  return [f](const Arrays& in) { return build(in[0].shape, [&](const Index& i) { return f(at(in[0], i)); }); };
}

inline Reference pointwise(double (*f)(double, double)) {
  return [f](const Arrays& in) {
    return build(common_shape(in), [&](const Index& i) { return f(at(in[0], i), at(in[1], i)); });
  };
}

// f on each row of the last axis; a row becomes a row of any length.
template <class RowFunction>
Array by_rows(const Array& x, const Shape& result, const RowFunction& f) {
  Array y{result, {}};
  const int64_t n = x.shape[-1];
  for (int64_t begin = 0; n > 0 && begin < x.shape.elements(); begin += n) {
    const std::vector<double> row = f(std::vector<double>(x.values.begin() + begin, x.values.begin() + begin + n));
    y.values.insert(y.values.end(), row.begin(), row.end());
  }
  return y;
}

// Is told of the indices, targets and masks that rows are made with (test_saved.cc).
inline std::function<void(const Tensor&)> integers_made;

template <class T>
Tensor integers(const std::vector<T>& values, const Shape& shape) {
  const Tensor tensor = Tensor::from(values, shape);
  if (integers_made) integers_made(tensor);
  return tensor;
}
inline Tensor i32(const std::vector<int32_t>& values, const Shape& shape) { return integers(values, shape); }
inline Tensor u8(const std::vector<uint8_t>& values, const Shape& shape) { return integers(values, shape); }
inline Tensor zeros(const Shape& shape) { return Tensor::zeros(shape, DType::f64); }

}  // namespace tapir
