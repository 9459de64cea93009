// Shapes, tensors, views and elementwise loops, against maps of indices that are written out.
#include "tensor/tensor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "tensor/elementwise.h"
#include "tensor/view.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

Tensor counting(const Shape& shape) {
  std::vector<int32_t> values(shape.elements());
  std::iota(values.begin(), values.end(), 0);
  return Tensor::from(values, shape);
}

using Integers = std::vector<int32_t>;

struct Combine {
  HD double operator()(double p, double q) const { return 1000 * p + q; }
};

// Elements of a view in row-major order, one by one through its strides.
Integers walk(const Tensor& x) {
  Integers values;
  int64_t reach = 0;
  for (int axis = 0; axis < x.rank(); ++axis) reach += std::max<int64_t>(0, x.size(axis) - 1) * x.stride(axis);
  const Integers memory = x.elements() ? x.strided({reach + 1}, {1}).values<int32_t>() : Integers();
  for (int64_t i = 0; i < x.elements(); ++i) {
    int64_t place = 0, rest = i;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      place += rest % x.size(axis) * x.stride(axis);
      rest /= x.size(axis);
    }
    values.push_back(memory[place]);
  }
  return values;
}

}  // namespace

TEST_CASE("tensor: shapes") {
  Shape shape{2, 3, 4};
  CHECK(shape.rank() == 3);
  CHECK(shape[-1] == 4);
  CHECK(shape.elements() == 24);
  CHECK(Shape{}.elements() == 1);
  CHECK(Shape{3, 0, 2}.elements() == 0);
  CHECK(shape.with(-2, 7) == Shape{2, 7, 4});
  CHECK(shape != Shape{2, 3});
  CHECK(text(shape, Shape{}) == "[2,3,4][]");
  CHECK(broadcast("op", {2, 1, 4}, {3, 1}) == Shape{2, 3, 4});
  CHECK(broadcast("op", {}, {5}) == Shape{5});
  CHECK(broadcast("op", {1}, {0}) == Shape{0});
  CHECK(message_of([] { broadcast("op", {2, 3}, {2}); }) == "op: shapes do not broadcast: [2,3] and [2]");
  CHECK(message_of([] { Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}; }) == "shape: a tensor has at most 8 axes");
  CHECK(normal_axis("op", -3, shape) == 0);
  CHECK(message_of([&] { normal_axis("op", 3, shape); }) == "op: axis 3 does not exist in shape [2,3,4]");
}

TEST_CASE("tensor: making, reading, converting") {
  const Tensor x = Tensor::from(std::vector<float>{1.5f, -2, 3}, {3, 1});
  CHECK(x.dtype() == DType::f32);
  CHECK(x.values<float>() == std::vector<float>{1.5f, -2, 3});
  CHECK(x.to(DType::i32).values<int32_t>() == Integers{1, -2, 3});
  CHECK(x.to(DType::f32).shares_storage(x));
  CHECK(!x.copy().shares_storage(x));
  CHECK(Tensor::full({2}, 7, DType::u8).values<uint8_t>() == std::vector<uint8_t>{7, 7});
  CHECK(Tensor::full({}, 2.5, DType::f64).item() == 2.5);
  CHECK(Tensor::zeros({2, 0}).values<float>().empty());
  CHECK(std::isnan(Tensor::empty({1}).item()));   // poison
  CHECK(!Tensor().defined());
  CHECK(message_of([&] { x.item(); }) == "item: needs exactly one element, shape is [3,1]");
  CHECK(message_of([&] { x.data<double>(); }) == "tensor: holds f32, asked for f64");
  CHECK(message_of([] { Tensor().data<float>(); }) == "data: the tensor has no value; hint: it was never given one");
  CHECK(message_of([] { Tensor::from(std::vector<float>{1, 2}, {3}); }) == "tensor: 2 values do not fill shape [3]");
  CHECK(message_of([] { Tensor::empty({2, -1}); }) == "tensor: negative extent in shape [2,-1]");
}

TEST_CASE("tensor: printing shortens long axes") {
  CHECK(text(Tensor::from(std::vector<float>{1, 2.5f, -3, 4}, {2, 2})) == "[[1, 2.5], [-3, 4]] f32[2,2]");
  CHECK(text(counting({9})) == "[0, 1, 2, …, 6, 7, 8] i32[9]");
  CHECK(text(counting({6})) == "[0, 1, 2, 3, 4, 5] i32[6]");
  CHECK(text(view::transpose(counting({2, 3}), 0, 1)) == "[[0, 3], [1, 4], [2, 5]] i32[3,2]");
  CHECK(text(Tensor::full({}, 65, DType::u8)) == "65 u8[]");
  CHECK(text(Tensor::zeros({2, 0})) == "[[], []] f32[2,0]");
  CHECK(text(Tensor()) == "undefined");
}

TEST_CASE("tensor: writes in place count, and go where the view points") {
  Tensor x = counting({3, 4}), column = view::slice(x, 1, 2, 1);
  const uint64_t version = x.version();
  fill_(column, -1);
  CHECK(x.version() == version + 1);
  CHECK(walk(x) == Integers{0, 1, -1, 3, 4, 5, -1, 7, 8, 9, -1, 11});
  copy_(column, counting({1}));
  CHECK(walk(x) == Integers{0, 1, 0, 3, 4, 5, 0, 7, 8, 9, 0, 11});
  Tensor y = Tensor::from(std::vector<double>{1, 2, 3, 4}, {2, 2}), row = Tensor::from(std::vector<double>{10, 20});
  add_(y, row);
  scale_(y, 0.5);
  CHECK(y.values<double>() == std::vector<double>{5.5, 11, 6.5, 12});
  CHECK(message_of([&] { add_(row, y); }) == "add_: shape [2,2] does not expand to [2]");
  CHECK(message_of([&] { add_(x, y); }).find("add_: element types differ: i32[3,4] and f64[2,2]") == 0);
  CHECK(message_of([&] { copy_(row, y); }) == "copy_: shape [2,2] does not expand to [2]");
}

TEST_CASE("view: transposes, slices, expansions") {
  const Tensor x = counting({2, 3, 4});
  CHECK(walk(view::transpose(x, 0, -1))[5] == 20);   // element (0,2,1), which is (1,2,0) of x
  CHECK(walk(view::slice(x, 1, 1, 2)) == Integers{4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23});
  CHECK(walk(view::expand(counting({2, 1}), {2, 2, 3})) == Integers{0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1});
  CHECK(view::slice(x, 0, 1, 1).shares_storage(x));
  CHECK(view::slice(x, 0, 2, 0).elements() == 0);
}

TEST_CASE("view: reshapes of random views keep every element in its place") {
  std::mt19937 random(11);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  int views = 0, copies = 0;
  for (int round = 0; round < 20000; ++round) {
    Shape shape;
    const int rank = draw(5);
    for (int axis = 0; axis < rank; ++axis) shape.push_back(std::vector<int64_t>{1, 1, 2, 3, 4, 6}[draw(6)]);
    if (rank > 0 && draw(8) == 0) shape[draw(rank)] = 0;
    Tensor x = counting(shape);
    for (int step = draw(4); step > 0 && rank > 0; --step) {
      const int axis = draw(rank);
      switch (draw(4)) {
        case 0: x = view::transpose(x, axis, draw(rank)); break;
        case 1: if (x.size(axis) > 1) x = view::slice(x, axis, draw(2), x.size(axis) - 1); break;
        case 2: if (x.size(axis) == 1) x = view::expand(x, x.shape().with(axis, 2)); break;
        default: break;
      }
    }
    // Another shape of as many elements: factors, with ones strewn in.
    Shape wanted;
    int64_t left = x.elements();
    while (wanted.rank() < 6 && draw(6) > 0) {
      const std::vector<int64_t> factors = {1, 2, 3, 4, 6, 8, 12};
      const int64_t factor = factors[draw(7)];
      if (left % factor == 0 && left > 0) {
        wanted.push_back(factor);
        left /= factor;
      }
    }
    wanted.push_back(left);
    const Tensor y = view::reshape(x, wanted);
    REQUIRE(y.shape() == wanted);
    REQUIRE(walk(y) == walk(x));
    (y.shares_storage(x) ? views : copies) += 1;
    if (x.is_contiguous()) REQUIRE(y.shares_storage(x));
  }
  CHECK(views > 1000);
  CHECK(copies > 1000);
}

TEST_CASE("view: copies of transposes keep every element in its place, in tiles whole and cut") {
  for (const int64_t rows : {2, 31, 32, 33, 65, 100})
    for (const int64_t columns : {2, 32, 63, 64, 97}) {
      const Tensor x = counting({2, rows, columns});
      for (const DType type : {DType::i32, DType::f32, DType::f64}) {
        CAPTURE(rows);
        CAPTURE(columns);
        CHECK(walk(view::transpose(x.to(type), 1, 2).copy().to(DType::i32)) == walk(view::transpose(x, 1, 2)));
        CHECK(walk(view::transpose(x.to(type), 0, 2).copy().to(DType::i32)) == walk(view::transpose(x, 0, 2)));
      }
    }
}

TEST_CASE("view: a reshape that strides allow is a view") {
  const Tensor x = view::transpose(counting({2, 3, 4, 5}), 0, 1);   // (3,2,4,5), the last two dense
  CHECK(view::reshape(x, {3, 2, 20}).shares_storage(x));
  CHECK(view::reshape(x, {3, 1, 2, 2, 10}).shares_storage(x));
  CHECK(!view::reshape(x, {6, 20}).shares_storage(x));
  CHECK(view::reshape(view::slice(counting({4, 6}), 1, 0, 3), {2, 2, 3, 1}).strides()[0] == 12);
}

TEST_CASE("elementwise: every pattern of strides, against plain loops") {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    Shape shape, left_shape, right_shape;
    const int rank = static_cast<int>(random() % 4);
    for (int axis = 0; axis < rank; ++axis) {
      shape.push_back(1 + static_cast<int64_t>(random() % 5));
      left_shape.push_back(random() % 3 ? shape[-1] : 1);
      right_shape.push_back(left_shape[-1] == 1 || random() % 3 ? shape[-1] : 1);
    }
    const auto operand = [&](const Shape& extents) {
      Tensor x = counting(extents).to(DType::f64);
      if (rank >= 2 && random() % 2) x = view::transpose(view::transpose(x, 0, rank - 1).copy(), 0, rank - 1);
      return x;
    };
    const Tensor a = operand(left_shape), b = operand(right_shape);
    Tensor y = Tensor::empty(shape, DType::f64);
    map_into<double, double, double>(y, Combine{}, a, b);
    const std::vector<double> values = y.values<double>(), wide_a = view::expand(a, shape).values<double>(),
                              wide_b = view::expand(b, shape).values<double>();
    for (size_t i = 0; i < values.size(); ++i) REQUIRE(values[i] == 1000 * wide_a[i] + wide_b[i]);
  }
}
