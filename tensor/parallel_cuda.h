// The loop engines on a CUDA device. A row's team is a warp, whose sums have the tree of the CPU's team: the same bits.
#pragma once
#include <algorithm>

#include "tensor/launch.h"
#include "tensor/tensor.h"

namespace tapir::cuda {

inline constexpr int64_t threads_per_block = 256;

// Blocks for n threads. Beyond the largest grid a thread takes several items.
inline dim3 blocks_for(int64_t n) {
  return dim3(static_cast<unsigned>(std::min<int64_t>((n + threads_per_block - 1) / threads_per_block, 1 << 20)));
}

template <class Kernel>
__global__ void each_element(int64_t n, Kernel kernel) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) kernel(i);
}

template <class Kernel>
void for_each(int64_t n, const Kernel& kernel) {
  launch(each_element<Kernel>, blocks_for(n), dim3(threads_per_block), n, kernel);
}

// Several loops, cut into chunks of elements_per_range that are numbered through: so long and short ones share out evenly.
template <class Kernel>
struct LoopTable {
  struct Row {
    int64_t n, first;   // items; its first chunk
    Kernel kernel;
  };
  const Row* rows;
  int64_t count, chunks;

  __device__ const Row& of(int64_t chunk) const {   // the last row that begins there or before
    int64_t low = 0, high = count;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      if (rows[middle].first <= chunk) low = middle;
      else high = middle;
    }
    return rows[low];
  }
};

template <class Kernel>
class LoopMemory {   // what a table points to
 public:
  using Row = typename LoopTable<Kernel>::Row;

  explicit LoopMemory(const std::vector<Loop<Kernel>>& loops)
      : memory_(static_cast<int64_t>(loops.size() * sizeof(Row)), Device::cuda) {
    std::vector<Row> rows;
    for (const Loop<Kernel>& loop : loops) {
      rows.push_back({loop.n, chunks_, loop.kernel});
      chunks_ += (loop.n + elements_per_range - 1) / elements_per_range;
    }
    count_ = static_cast<int64_t>(rows.size());
    send(memory_.data, rows.data(), count_ * static_cast<int64_t>(sizeof(Row)));
  }

  LoopTable<Kernel> table() const { return {static_cast<const Row*>(memory_.data), count_, chunks_}; }

 private:
  Storage memory_;
  int64_t count_ = 0, chunks_ = 0;
};

template <class Kernel>
__global__ void each_chunk(LoopTable<Kernel> table) {
  for (int64_t chunk = blockIdx.x; chunk < table.chunks; chunk += gridDim.x) {
    const auto& row = table.of(chunk);
    const Kernel kernel = row.kernel;
    const int64_t begin = (chunk - row.first) * elements_per_range, left = row.n - begin;
    const int64_t end = begin + (left < elements_per_range ? left : elements_per_range);
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) kernel(i);
  }
}

template <class Kernel>
void for_each(const std::vector<Loop<Kernel>>& loops) {
  const LoopMemory<Kernel> memory(loops);
  const LoopTable<Kernel> table = memory.table();
  launch(each_chunk<Kernel>, blocks_for(table.chunks * threads_per_block), dim3(threads_per_block), table);
}

// 32 lanes that run together.
struct Warp {
  static constexpr int lanes = Team::lanes;

  __device__ static int64_t lane() { return threadIdx.x % lanes; }

  template <class Body>
  __device__ void each(int64_t n, const Body& body) const {
    for (int64_t i = lane(); i < n; i += lanes) body(i);
    __syncwarp();
  }

  template <class Term>
  __device__ auto sum(int64_t n, const Term& term) const {
    using T = decltype(term(int64_t{}));
    return combine(n, T(0), term, [](T a, T b) { return a + b; });
  }

  template <class Term>
  __device__ auto max(int64_t n, const Term& term) const {
    using T = decltype(term(int64_t{}));
    return combine(n, Team::least<T>(), term, [](T a, T b) { return a < b ? b : a; });
  }

  // Every lane has the result. The lower lane comes first in each fold, as in the CPU's tree.
  template <class T, class Term, class Fold>
  __device__ static T combine(int64_t n, T start, const Term& term, const Fold& fold) {
    T mine = start;
    for (int64_t i = lane(); i < n; i += lanes) mine = fold(mine, term(i));
    for (int half = lanes / 2; half > 0; half /= 2) {
      const T other = __shfl_xor_sync(0xffffffffu, mine, half);
      mine = lane() & half ? fold(other, mine) : fold(mine, other);
    }
    return mine;
  }
};

template <class Kernel>
__global__ void each_row(int64_t rows, Kernel kernel) {
  const int64_t step = int64_t(gridDim.x) * (blockDim.x / Warp::lanes);
  for (int64_t row = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / Warp::lanes; row < rows; row += step)
    kernel(Warp{}, row);
}

// A block as one team, for a single long row. Warps take ranges, whose results are folded once more: the CPU's WideTeam.
struct BlockTeam {
  static constexpr int64_t threads = 1024;
  double* partial;   // of each range

  template <class Body>
  __device__ void each(int64_t n, const Body& body) const {
    for (int64_t i = threadIdx.x; i < n; i += threads) body(i);
    __syncthreads();
  }

  template <class Term>
  __device__ auto sum(int64_t n, const Term& term) const {
    return fold_ranges<decltype(term(int64_t{}))>(n, term, [](int64_t count, const auto& part) { return Warp{}.sum(count, part); });
  }

  template <class Term>
  __device__ auto max(int64_t n, const Term& term) const {
    return fold_ranges<decltype(term(int64_t{}))>(n, term, [](int64_t count, const auto& part) { return Warp{}.max(count, part); });
  }

 private:
  template <class T, class Term, class Fold>
  __device__ T fold_ranges(int64_t n, const Term& term, const Fold& fold) const {
    T* const results = reinterpret_cast<T*>(partial);
    const int64_t ranges = (n + elements_per_range - 1) / elements_per_range;
    for (int64_t r = threadIdx.x / Warp::lanes; r < ranges; r += threads / Warp::lanes) {
      const int64_t begin = r * elements_per_range, left = n - begin;
      const T result = fold(left < elements_per_range ? left : elements_per_range, [&](int64_t i) { return term(begin + i); });
      if (Warp::lane() == 0) results[r] = result;
    }
    __syncthreads();
    const T total = fold(ranges, [&](int64_t r) { return results[r]; });
    __syncthreads();
    return total;
  }
};

template <class Kernel>
__global__ void __launch_bounds__(BlockTeam::threads, 1) one_row(double* partial, Kernel kernel) {
  kernel(BlockTeam{partial}, int64_t(0));
}

template <class Kernel>
void for_each_row(int64_t rows, int64_t width, const Kernel& kernel) {
  if (rows == 1 && width > widest_for_one_team) {
    const Storage partial((width / elements_per_range + 1) * static_cast<int64_t>(sizeof(double)), Device::cuda);
    launch(one_row<Kernel>, dim3(1), dim3(BlockTeam::threads), static_cast<double*>(partial.data), kernel);
  } else {
    launch(each_row<Kernel>, blocks_for(rows * Warp::lanes), dim3(threads_per_block), rows, kernel);
  }
}

template <class T, class Term>
struct RangeSum {
  Term term;
  T* sums;
  int64_t n;
  __device__ void operator()(const Warp& team, int64_t range) const {
    const int64_t begin = range * elements_per_range, left = n - begin;
    const T sum = team.sum(left < elements_per_range ? left : elements_per_range, [&](int64_t i) { return term(begin + i); });
    if (Warp::lane() == 0) sums[range] = sum;
  }
};

template <class T>
struct SumOfSums {
  const T* sums;
  T* y;
  int64_t count;
  __device__ void operator()(const Warp& team, int64_t) const {
    const T sum = team.sum(count, [&](int64_t i) { return sums[i]; });
    if (Warp::lane() == 0) *y = sum;
  }
};

template <class T, class Term>
void full_sum(int64_t n, const Term& term, T* y) {
  const int64_t ranges = (n + elements_per_range - 1) / elements_per_range;
  const Storage partial(ranges * static_cast<int64_t>(sizeof(T)), Device::cuda);
  T* const sums = static_cast<T*>(partial.data);
  launch(each_row<RangeSum<T, Term>>, blocks_for(ranges * Warp::lanes), dim3(threads_per_block), ranges,
         RangeSum<T, Term>{term, sums, n});
  launch(each_row<SumOfSums<T>>, dim3(1), dim3(Warp::lanes), int64_t(1), SumOfSums<T>{sums, y, ranges});
}

template <class T, class Term>
struct ChunkSum {
  LoopTable<Term> table;
  T* sums;
  __device__ void operator()(const Warp& team, int64_t chunk) const {
    const auto& row = table.of(chunk);
    RangeSum<T, Term>{row.kernel, sums + row.first, row.n}(team, chunk - row.first);
  }
};

template <class T, class Term>
struct SumOfChunks {
  LoopTable<Term> table;
  const T* sums;
  T* y;
  __device__ void operator()(const Warp& team, int64_t k) const {
    const int64_t first = table.rows[k].first, end = k + 1 < table.count ? table.rows[k + 1].first : table.chunks;
    SumOfSums<T>{sums + first, y + k, end - first}(team, k);
  }
};

template <class T, class Term>
void full_sum(const std::vector<Loop<Term>>& loops, T* y) {
  const LoopMemory<Term> memory(loops);
  const LoopTable<Term> table = memory.table();
  const Storage partial(table.chunks * static_cast<int64_t>(sizeof(T)), Device::cuda);
  T* const sums = static_cast<T*>(partial.data);
  launch(each_row<ChunkSum<T, Term>>, blocks_for(table.chunks * Warp::lanes), dim3(threads_per_block), table.chunks,
         ChunkSum<T, Term>{table, sums});
  launch(each_row<SumOfChunks<T, Term>>, blocks_for(table.count * Warp::lanes), dim3(threads_per_block), table.count,
         SumOfChunks<T, Term>{table, sums, y});
}

// Item b · columns + j: rows of block b in column j.
template <class T, class Term>
struct BlockOfColumn {
  Term term;
  T* sums;
  int64_t rows, columns;
  HD void operator()(int64_t item) const {
    const int64_t b = item / columns, j = item % columns, first = b * rows_per_block;
    const int64_t end = first + rows_per_block < rows ? first + rows_per_block : rows;
    T sum = 0;
    for (int64_t i = first; i < end; ++i) sum += term(i, j);
    sums[item] = sum;
  }
};

template <class T, class Term>
void column_sum(int64_t rows, int64_t columns, const Term& term, T* y) {
  const int64_t blocks = std::max<int64_t>(1, (rows + rows_per_block - 1) / rows_per_block);
  if (blocks == 1) return for_each(columns, BlockOfColumn<T, Term>{term, y, rows, columns});
  const Storage partial(blocks * columns * static_cast<int64_t>(sizeof(T)), Device::cuda);
  T* const sums = static_cast<T*>(partial.data);
  for_each(blocks * columns, BlockOfColumn<T, Term>{term, sums, rows, columns});
  column_sum(blocks, columns, Columns<T>{sums, columns}, y);
}

// Places of a scan: (outer, n, inner) in chunks along n; a state for each (outer, chunk, inner).
template <class Kernel>
struct ChunkOfScan {
  using State = typename Kernel::State;
  Kernel kernel;
  State* before;
  int64_t n, inner, chunks;
  bool reverse, total;   // total: the state of the whole chunk becomes its place's; else each is stored
  HD void operator()(int64_t place) const {
    const int64_t column = place % inner, chunk = place / inner % chunks, line = place / inner / chunks;
    const int64_t end = (chunk + 1) * scan_chunk < n ? (chunk + 1) * scan_chunk : n;
    State state = total ? State{} : before[place];
    for (int64_t t = chunk * scan_chunk; t < end; ++t) {
      const int64_t i = (line * n + (reverse ? n - 1 - t : t)) * inner + column;
      state = Kernel::join(state, kernel.element(i));
      if (!total) kernel.store(i, state);
    }
    if (total) before[place] = state;
  }
};

// What comes before each chunk of a line: the states of its chunks so far, joined.
template <class Kernel>
struct ChunksBefore {
  using State = typename Kernel::State;
  State* before;
  int64_t inner, chunks;
  HD void operator()(int64_t i) const {
    State total{};
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      State& place = before[(i / inner * chunks + chunk) * inner + i % inner];
      const State next = Kernel::join(total, place);
      place = total;
      total = next;
    }
  }
};

template <class Kernel>
void scan(int64_t outer, int64_t n, int64_t inner, bool reverse, const Kernel& kernel) {
  using State = typename Kernel::State;
  const int64_t chunks = (n + scan_chunk - 1) / scan_chunk, places = outer * chunks * inner;
  const Storage memory(places * static_cast<int64_t>(sizeof(State)), Device::cuda);
  State* const before = static_cast<State*>(memory.data);
  for_each(places, ChunkOfScan<Kernel>{kernel, before, n, inner, chunks, reverse, true});
  for_each(outer * inner, ChunksBefore<Kernel>{before, inner, chunks});
  for_each(places, ChunkOfScan<Kernel>{kernel, before, n, inner, chunks, reverse, false});
}

}  // namespace tapir::cuda
