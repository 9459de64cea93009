// Calls of functions that take shapes, axes and extents: how they are drawn from bytes, and how what came of one is judged.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "tensor/arena.h"
#include "tensor/view.h"

namespace tapir {

class ShapeJudge {
 public:
  ShapeJudge(const uint8_t* data, size_t size) : data_(data), end_(data + size) {
    Arena& arena = Arena::of(Device::cpu);
    arena.set_limit(arena.statistics().in_use + (int64_t{16} << 20));
  }
  ~ShapeJudge() { Arena::of(Device::cpu).set_limit(0); }

 protected:
  using Wide = std::vector<__int128>;   // extents
  using Wanted = std::optional<Wide>;   // none: an Error is right

  // ---- choices; 0 when there are no more bytes ---------------------------------------------------------------------
  int below(size_t n) { return data_ < end_ ? static_cast<int>(*data_++ % n) : 0; }

  int64_t extent() {
    constexpr int64_t two31 = int64_t{1} << 31, two32 = int64_t{1} << 32, two60 = int64_t{1} << 60;
    constexpr int64_t largest = std::numeric_limits<int64_t>::max();
    constexpr std::array<int64_t, 24> odd = {
        -1,    -2,        -3,    -two31,    -two60,      -largest,  -largest - 1, two31 - 1,
        two31, two31 + 1, two32, two32 + 1, two32 * 256, two32 - 1, two60 - 1,    two60 + 1,
        two60, 2 * two60, 1000,  4 * two60, 65537,       largest,   largest - 1,  4 * two60 + 1};
    constexpr std::array<int64_t, 8> small = {0, 1, 1, 2, 3, 4, 5, 8};
    return below(4) ? small[below(small.size())] : odd[below(odd.size())];
  }

  int any_axis() {
    const int odd[] = {-9, -8, 5, 7, 8, 9, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()};
    return below(8) ? below(7) - 3 : odd[below(8)];
  }

  Shape shape() {
    Shape result;
    for (int rank = below(8) ? below(5) : below(9); rank > 0; --rank) result.push_back(extent());
    return result;
  }

  // Small and dense; repeated to a large view; without elements; strided.
  Tensor tensor(DType type = DType::f64) {
    Shape dense;
    for (int rank = below(5); rank > 0; --rank) dense.push_back(1 + below(4));
    const int kind = below(4);
    for (int axis = 0; kind == 1 && axis < dense.rank(); ++axis) dense[axis] = std::max<int64_t>(0, extent());
    if (kind == 1 && dense.rank() > 0) dense[below(dense.rank())] = 0;
    if (elements(wide(dense)) < 0) dense = {0, 3};
    Tensor x = Tensor::zeros(dense, type, Device::cpu);
    if (kind == 2) {
      Shape larger = dense;
      for (int axis = 0; axis < larger.rank(); ++axis)
        if (larger[axis] == 1) larger[axis] = std::max<int64_t>(0, extent());
      if (elements(wide(larger)) >= 0) x = view::expand(x, larger);
    }
    if (kind == 3 && x.rank() > 1) x = view::transpose(x, 0, -1);
    return x;
  }

  // ---- the judgement -----------------------------------------------------------------------------------------------
  static Wide wide(const Shape& shape) { return Wide(shape.begin(), shape.end()); }

  // The number of elements; −1 if no tensor can have this shape.
  static int64_t elements(const Wide& shape) {
    __int128 product = 1;
    bool empty = false;
    for (const __int128 extent : shape) {
      if (extent < 0) return -1;
      if (extent == 0) empty = true;
      else product *= extent;
      if (product > Shape::max_elements) return -1;
    }
    return empty ? 0 : static_cast<int64_t>(product);
  }

  // An op may keep something for each index of an axis, even where x is empty.
  static bool is_small(const Tensor& x) {
    int64_t product = 1;
    for (const int64_t extent : x.shape()) product *= std::max<int64_t>(1, extent);
    return product <= (1 << 16);
  }

  static int place(int axis, int rank) { return axis < -rank || axis >= rank ? -1 : axis < 0 ? axis + rank : axis; }

  // `large`: an input is, so that memory may not suffice. `picky`: an Error is right for other reasons than shapes.
  void judge(const std::string& call, const Wanted& wanted, bool large, const std::function<Tensor()>& make,
             bool picky = false) {
    const int64_t count = wanted && wanted->size() <= Shape::max_rank ? elements(*wanted) : -1;
    try {
      const Tensor y = make();
      if (count < 0) return found(call, text("gave ", y.shape()));
      if (wide(y.shape()) != *wanted || y.elements() != count) return found(call, text("gave the wrong shape ", y.shape()));
      if (count > 0) y.strided(y.shape(), y.strides());   // lies within its storage
    } catch (const OutOfMemory& error) {
      if (count >= 0 && !large && count <= (1 << 16)) found(call, error.what());
    } catch (const Error& error) {
      if (count >= 0 && !picky) found(call, error.what());
    } catch (const std::exception& error) {
      found(call, error.what());
    }
  }

  void found(const std::string& call, const std::string& what) { fault_ = call + ": " + what; }

  std::string fault_;   // of the last call, "" if there was none

 private:
  const uint8_t *data_, *end_;
};

}  // namespace tapir
