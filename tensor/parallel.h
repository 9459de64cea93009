// The loop engines: every ordinary loop of the library runs in one of these. Results never depend on the thread count,
// because ranges are cut by size alone and partial results are combined in a fixed order.
//
//   for_each        elements 0 … n−1, independent of each other
//   for_each_row    rows, each done by a team of lanes (each, sum, max)
//   column_sum      y_j = Σ_i f(i, j)
//   full_sum        y = Σ_i f(i), in two stages
//   scan            y_t = x_0 ∘ … ∘ x_t along an axis, ∘ associative, in chunks
//
// Kernels are named functors with HD operators (plain lambdas only inside them), so the same source compiles for a GPU. What
// they point to is memory of the device that they run on.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "tensor/cuda.h"
#include "tensor/device.h"
#include "tensor/dry_run.h"
#include "tensor/hd.h"
#include "tensor/threads.h"

namespace tapir {

// Kept out of line: the serial and the threaded loop share one copy of a kernel, which halves code and compile time.
template <class Body>
[[gnu::noinline]] void run_range(const Body& body, int64_t begin, int64_t end) { body(begin, end); }

// Calls body(begin, end) on consecutive ranges of at most `grain` items.
template <class Body>
void for_each_range(int64_t n, int64_t grain, const Body& body) {
  if (DryRun::current()) return;
  const int64_t ranges = (n + grain - 1) / grain;
  if (ranges <= 1 || threads() == 1) {
    for (int64_t r = 0; r < ranges; ++r) run_range(body, r * grain, std::min(n, (r + 1) * grain));
    return;
  }
#pragma omp parallel for schedule(static) num_threads(threads())
  for (int64_t r = 0; r < ranges; ++r) run_range(body, r * grain, std::min(n, (r + 1) * grain));
}

inline constexpr int64_t elements_per_range = 16384;
inline constexpr int64_t widest_for_one_team = 8 * elements_per_range;   // a longer row, alone, is work for all threads
inline constexpr int64_t rows_per_block = 64, scan_chunk = 1024;

// A loop over n items with a kernel of its own: one of several that run together.
template <class Kernel>
struct Loop {
  int64_t n;
  Kernel kernel;
};

namespace cuda {   // parallel_cuda.h
template <class Kernel> void for_each(int64_t n, const Kernel& kernel);
template <class Kernel> void for_each(const std::vector<Loop<Kernel>>& loops);
template <class Kernel> void for_each_row(int64_t rows, int64_t width, const Kernel& kernel);
template <class T, class Term> void full_sum(int64_t n, const Term& term, T* y);
template <class T, class Term> void full_sum(const std::vector<Loop<Term>>& loops, T* y);
template <class T, class Term> void column_sum(int64_t rows, int64_t columns, const Term& term, T* y);
template <class Kernel> void scan(int64_t outer, int64_t n, int64_t inner, bool reverse, const Kernel& kernel);
}  // namespace cuda

template <class Kernel>
void for_each_on_cpu(int64_t n, const Kernel& kernel) {
  for_each_range(n, elements_per_range, [&](int64_t begin, int64_t end) {
    const Kernel local = kernel;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) local(i);
  });
}

template <class Kernel>
void for_each(Device device, int64_t n, const Kernel& kernel) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::for_each(n, kernel);
  for_each_on_cpu(n, kernel);
}

// Several loops, on CUDA in one launch: a model has hundreds of parameters, and most are small.
template <class Kernel>
void for_each(Device device, const std::vector<Loop<Kernel>>& loops) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::for_each(loops);
  for (const Loop<Kernel>& loop : loops) for_each_on_cpu(loop.n, loop.kernel);
}

// A team of 32 lanes. On the CPU one thread plays all lanes with 32 accumulators, which the compiler vectorises; on CUDA a
// team is a warp. Lane l takes items l, l + 32, …; lanes are combined by the same halving tree on both.
struct Team {
  static constexpr int lanes = 32;

  template <class Body>
  HD void each(int64_t n, const Body& body) const {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) body(i);
  }

  template <class Term>
  HD auto sum(int64_t n, const Term& term) const {
    using T = decltype(term(int64_t{}));
    return combine(n, T(0), term, [](T a, T b) { return a + b; });
  }

  // NaN terms are passed over: a test for them would cost softmax a quarter of its time, and its sum finds them anyway.
  template <class Term>
  HD auto max(int64_t n, const Term& term) const {
    using T = decltype(term(int64_t{}));
    return combine(n, least<T>(), term, [](T a, T b) { return a < b ? b : a; });
  }

  // The maximum of no term.
  template <class T>
  HD static constexpr T least() {
    if constexpr (std::is_integral_v<T>) return std::numeric_limits<T>::min();
    else return -std::numeric_limits<T>::infinity();
  }

 private:
  // Constant counts: the compiler writes the tree out, in registers.
  template <int half, class T, class Fold>
  HD_INLINE static void halve(T* lane, const Fold& fold) {
    for (int l = 0; l < half; ++l) lane[l] = fold(lane[l], lane[l + half]);
    if constexpr (half > 1) halve<half / 2>(lane, fold);
  }

  template <class T, class Term, class Fold>
  HD static T combine(int64_t n, T start, const Term& term, const Fold& fold) {
    T lane[lanes];
    for (int l = 0; l < lanes; ++l) lane[l] = start;
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) lane[l] = fold(lane[l], term(i + l));
    }
    for (int l = 0; i + l < n; ++l) lane[l] = fold(lane[l], term(i + l));
    halve<lanes / 2>(lane, fold);
    return lane[0];
  }
};

// fold(count, term) of the ranges of 0 … n−1 in parallel, then of their results.
template <class T, class Term, class Fold>
T fold_ranges(int64_t n, const Term& term, const Fold& fold) {
  std::vector<T> partial((n + elements_per_range - 1) / elements_per_range);
  for_each_range(n, elements_per_range, [&](int64_t begin, int64_t end) {
    const Term local = term;
    partial[begin / elements_per_range] = fold(end - begin, [&](int64_t i) { return local(begin + i); });
  });
  return fold(static_cast<int64_t>(partial.size()), [&](int64_t i) { return partial[i]; });
}

// Σ_i term(i), i < n: ranges in parallel, then their sums, each by a team.
template <class T, class Term>
T full_sum_on_cpu(int64_t n, const Term& term) {
  return fold_ranges<T>(n, term, [](int64_t count, const auto& part) { return Team{}.sum(count, part); });
}

// *y = Σ_i term(i)
template <class T, class Term>
void full_sum(Device device, int64_t n, const Term& term, T* y) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::full_sum(n, term, y);
  *y = full_sum_on_cpu<T>(n, term);
}

// y[k] = Σ_i term(i) of loop k
template <class T, class Term>
void full_sum(Device device, const std::vector<Loop<Term>>& loops, T* y) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::full_sum(loops, y);
  for (const Loop<Term>& loop : loops) *y++ = full_sum_on_cpu<T>(loop.n, loop.kernel);
}

// All threads as one team, for a single long row: each verb is a loop over ranges.
struct WideTeam {
  CALLS_HOST
  template <class Body>
  HD void each(int64_t n, const Body& body) const {
    for_each_on_cpu(n, body);
  }

  CALLS_HOST
  template <class Term>
  HD auto sum(int64_t n, const Term& term) const {
    return full_sum_on_cpu<decltype(term(int64_t{}))>(n, term);
  }

  CALLS_HOST
  template <class Term>
  HD auto max(int64_t n, const Term& term) const {
    return fold_ranges<decltype(term(int64_t{}))>(
        n, term, [](int64_t count, const auto& part) { return Team{}.max(count, part); });
  }
};

// kernel(team, row) for every row; `width` is the number of items of a row.
template <class Kernel>
void for_each_row(Device device, int64_t rows, int64_t width, const Kernel& kernel) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::for_each_row(rows, width, kernel);
  if (rows == 1 && width > widest_for_one_team) return kernel(WideTeam{}, 0);
  const int64_t grain = std::max<int64_t>(1, elements_per_range / std::max<int64_t>(1, width));
  for_each_range(rows, grain, [&](int64_t begin, int64_t end) {
    const Kernel local = kernel;
    for (int64_t row = begin; row < end; ++row) local(Team{}, row);
  });
}

// x (rows, columns) as terms of column_sum.
template <class T>
struct Columns {
  const T* x;
  int64_t columns;
  HD T operator()(int64_t i, int64_t j) const { return x[i * columns + j]; }
};

// y_j = Σ_i term(i, j), i < rows, j < columns: blocks of 64 rows, then blocks of 64 of their sums, and so on. So the rounding of
// a sum is that of a few times 64 additions, however many its terms are.
template <class T, class Term>
void column_sum(Device device, int64_t rows, int64_t columns, const Term& term, T* y) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::column_sum(rows, columns, term, y);
  if (columns == 0) return;   // whatever the rows
  constexpr int64_t block = rows_per_block, widest = 1024;
  const int64_t blocks = std::max<int64_t>(1, (rows + block - 1) / block), parts = (columns + widest - 1) / widest;
  std::vector<T> partial(blocks > 1 ? blocks * columns : 0);
  T* const sums = blocks > 1 ? partial.data() : y;
  for_each_range(blocks * parts, std::max<int64_t>(1, elements_per_range / (block * std::min(columns, widest))),
                 [&](int64_t begin, int64_t end) {
    const Term local = term;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / parts, first = item % parts * widest, last = std::min(columns, first + widest);
      T* const sum = sums + b * columns;
      std::fill(sum + first, sum + last, T(0));
      for (int64_t i = b * block; i < std::min(rows, (b + 1) * block); ++i) {
#pragma omp simd
        for (int64_t j = first; j < last; ++j) sum[j] += local(i, j);
      }
    }
  });
  if (blocks > 1) column_sum(device, blocks, columns, Columns<T>{sums, columns}, y);
}

// Running totals along the middle axis of (outer, n, inner), backwards if `reverse`. A kernel has a type State, whose
// default joins as nothing, and
//   State element(i)      static State join(before, after), associative      void store(i, state) of all up to i
// Chunks of 1024 are joined in parallel, then what comes before each chunk in order, then each chunk again from there.
template <class Kernel>
void scan(Device device, int64_t outer, int64_t n, int64_t inner, bool reverse, const Kernel& kernel) {
  if constexpr (cuda::built)
    if (device == Device::cuda) return cuda::scan(outer, n, inner, reverse, kernel);
  using State = typename Kernel::State;
  // Lines with nothing behind them are columns too, n apart: 4 at once, whose states stay in registers.
  const bool apart = inner == 1;
  const int64_t lines = apart ? 1 : outer, columns = apart ? outer : inner, step = apart ? 1 : inner;
  constexpr int64_t length = scan_chunk, few = 4, many = 64;   // of a chunk; columns of a block
  const int64_t width = apart ? few : many, chunks = (n + length - 1) / length, blocks = (columns + width - 1) / width;
  const int64_t grain = elements_per_range / std::max<int64_t>(1, std::min(n, length) * std::min(columns, width));
  std::vector<State> before(lines * chunks * columns);

  // Joins every chunk, block by block, to what comes before it; visit(i, state) sees each element, finish(place, state) the
  // last one and its place in `before`.
  const auto for_each_chunk = [&](const auto& visit, const auto& finish) {
    for_each_range(lines * chunks * blocks, std::max<int64_t>(1, grain), [&](int64_t begin, int64_t end) {
      const Kernel local = kernel;
      const auto join = [&](int64_t line, int64_t chunk, int64_t first, auto count, auto distance) {
        State state[many];
        State* const place = before.data() + (line * chunks + chunk) * columns + first;
        for (int64_t c = 0; c < count; ++c) state[c] = place[c];
        for (int64_t t = chunk * length; t < std::min(n, (chunk + 1) * length); ++t) {
          const int64_t row = (line * n + (reverse ? n - 1 - t : t)) * step + first * distance;
          const auto advance = [&](int64_t c) {
            state[c] = Kernel::join(state[c], local.element(row + c * distance));
            visit(local, row + c * distance, state[c]);
          };
          if constexpr (std::is_same_v<decltype(count), int64_t>) {
            Team{}.each(count, advance);
          } else {   // unrolled: vector instructions would gather
            for (int64_t c = 0; c < count; ++c) advance(c);
          }
        }
        for (int64_t c = 0; c < count; ++c) finish(place[c], state[c]);
      };
      constexpr std::integral_constant<int64_t, 1> one;
      constexpr std::integral_constant<int64_t, few> all;
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t first = unit % blocks * width, chunk = unit / blocks % chunks, line = unit / blocks / chunks;
        const int64_t count = std::min(width, columns - first);
        if (!apart) join(line, chunk, first, count, one);
        else if (count == few) join(line, chunk, first, all, n);
        else for (int64_t c = 0; c < count; ++c) join(line, chunk, first + c, one, n);
      }
    });
  };

  if (chunks > 1) {
    for_each_chunk([](const Kernel&, int64_t, const State&) {}, [](State& place, const State& total) { place = total; });
    for_each_range(lines * columns, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        State total{};
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
          State& place = before[(i / columns * chunks + chunk) * columns + i % columns];
          const State next = Kernel::join(total, place);
          place = total;
          total = next;
        }
      }
    });
  }
  for_each_chunk([](const Kernel& local, int64_t i, const State& state) { local.store(i, state); },
                 [](const State&, const State&) {});
}

}  // namespace tapir

#if defined(__CUDACC__) || defined(TAPIR_CUDA_EMULATED)
#include "tensor/parallel_cuda.h"
#endif
