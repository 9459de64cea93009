#include "tensor/random.h"

#include "tensor/argument.h"
#include "tensor/in_place.h"
#include "tensor/parallel.h"
#include "tensor/scalar_math.h"
#include "tensor/sine.h"

namespace tapir {
namespace {

// y = low + (high − low) u
struct Uniform {
  double low, high;
  HD double operator()(const Philox4& bits, int lane) const { return low + (high - low) * uniform(bits[lane]); }
};

// Two numbers from two uniform ones:  √(−2 log u₁) cos 2πu₂  and  √(−2 log u₁) sin 2πu₂
struct Normal {
  double mean, deviation;
  HD double operator()(const Philox4& bits, int lane) const {
    const int pair = lane / 2 * 2;
    const double radius = math::sqrt(-2 * math::log(static_cast<double>(uniform(bits[pair]))));
    const double angle = 6.2831853071795864769 * uniform(bits[pair + 1]);
    return mean + deviation * radius * (lane % 2 ? math::sin<true>(angle) : math::cos<true>(angle));
  }
};

// Elements 4·block … 4·block + 3 share one draw of Philox.
template <class T, class Distribution> struct FillBlock {
  T* y;
  int64_t n;
  Distribution distribution;
  RandomKey key;
  HD void operator()(int64_t block) const {
    const Philox4 bits = random_block(key, static_cast<uint64_t>(block));
    for (int lane = 0; lane < 4; ++lane)
      if (4 * block + lane < n) y[4 * block + lane] = static_cast<T>(distribution(bits, lane));
  }
};

// Element i takes the first of its draws that lies within two deviations: 95 of 100 do.
template <class T> struct FillTruncated {
  T* y;
  Normal normal;
  RandomKey key;
  HD void operator()(int64_t i) const {
    for (uint64_t attempt = 0;; ++attempt) {
      const Philox4 bits = random_block(key, static_cast<uint64_t>(i) + (attempt << 40));
      for (int lane = 0; lane < 4; ++lane) {
        const double z = normal(bits, lane);
        if (z < normal.mean - 2 * normal.deviation || z > normal.mean + 2 * normal.deviation) continue;
        y[i] = static_cast<T>(z);
        return;
      }
    }
  }
};

void require_writable(const char* name, const Tensor& y) {
  require_defined(name, "y", y);
  require_no_backward_through(name, y, "draw into a new tensor");
  require(y.is_contiguous(), name,
          [&] { return text("needs contiguous memory, got a strided view of shape ", y.shape()); });
}

void require_normal(const char* name, double mean, double deviation) {
  require_in(interval::finite, name, "the mean", mean);
  require_in(interval::not_negative, name, "the deviation", deviation);
}

template <class Distribution>
void fill(const char* name, Tensor& y, const Distribution& distribution, const RandomKey& key) {
  require_writable(name, y);
  with_float(name, y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each(y.device(), (y.elements() + 3) / 4, FillBlock<T, Distribution>{y.data<T>(), y.elements(), distribution, key});
  });
  y.wrote();
}

}  // namespace

void uniform_(Tensor& y, double low, double high, const RandomKey& key) {
  require_in(interval::finite, "uniform_", "low", low);
  require_in({low, HUGE_VAL, true, false}, "uniform_", "high", high);
  fill("uniform_", y, Uniform{low, high}, key);
}

void normal_(Tensor& y, double mean, double deviation, const RandomKey& key) {
  require_normal("normal_", mean, deviation);
  fill("normal_", y, Normal{mean, deviation}, key);
}

void truncated_normal_(Tensor& y, double mean, double deviation, const RandomKey& key) {
  require_normal("truncated_normal_", mean, deviation);
  require_writable("truncated_normal_", y);
  with_float("truncated_normal_", y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_each(y.device(), y.elements(), FillTruncated<T>{y.data<T>(), {mean, deviation}, key});
  });
  y.wrote();
}

}  // namespace tapir
