// Rows of a table by index, and the adjoint: rows that are added into a table. Letters: V rows, C columns.
#include "autograd/ops/embedding.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "autograd/apply.h"
#include "autograd/ops/indices.h"
#include "tensor/parallel.h"

namespace tapir {
namespace {

template <class T> struct GatherRow {
  const T* table;
  const int32_t* index;
  T* y;
  int64_t columns;
  template <class Team> HD void operator()(const Team& team, int64_t row) const {
    const T* from = table + index[row] * columns;
    T* to = y + row * columns;
    team.each(columns, [&](int64_t j) { to[j] = from[j]; });
  }
};

// Sources sorted by index: segment s adds rows order[begin[s]] … order[begin[s + 1] − 1], in this order.
template <class T> struct AddSegment {
  const T* rows;
  const int32_t *index, *order, *begin;
  T* y;
  int64_t columns;
  template <class Team> HD void operator()(const Team& team, int64_t segment) const {
    T* to = y + index[order[begin[segment]]] * columns;
    for (int64_t k = begin[segment]; k < begin[segment + 1]; ++k) {
      const T* from = rows + order[k] * columns;
      team.each(columns, [&](int64_t j) { to[j] += from[j]; });
    }
  }
};

Shape with_columns(const Tensor& indices, int64_t columns) {
  Shape shape = indices.shape();
  shape.push_back(columns);
  return shape;
}

}  // namespace

// y_n = table[index_n];  dtable = rows of g added up by index
struct Embedding {
  static constexpr const char* name = "embedding";
  Saved indices;
  int64_t size = 0;
  Tensor forward(const Tensor& table_) {
    require(table_.rank() == 2, name, [&] { return text("the table must be (V,C), got ", table_.shape()); });
    size = table_.size(0);
    require_indices(name, *indices, size, table_);
    const Tensor table = table_.contiguous(),
                 y = Tensor::empty(with_columns(*indices, table.size(1)), table.dtype(), table.device());
    with_float(name, table.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(y.device(), indices->elements(), table.size(1),
                   GatherRow<T>{table.data<T>(), indices->data<int32_t>(), y.data<T>(), table.size(1)});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {scatter_rows(g, *indices, size)}; }
};
Tensor embedding(const Tensor& table, const Tensor& indices) {
  require_defined(Embedding::name, "the index tensor", indices);
  return apply(Embedding{indices.contiguous()}, table);
}

// y_v = Σ_{n: index_n = v} rows_n;  drows_n = g[index_n]
struct ScatterRows {
  static constexpr const char* name = "scatter_rows";
  Saved indices;
  int64_t size;
  Tensor forward(const Tensor& rows_) {
    require_index_type(name, *indices, rows_);
    require(rows_.rank() == indices->rank() + 1 && rows_.shape() == with_columns(*indices, rows_.size(-1)), name,
            [&] { return text("rows ", rows_.shape(), " do not belong to indices ", indices->shape()); });
    require_indices(name, *indices, size, rows_);
    const int64_t columns = rows_.size(-1), count = indices->elements();
    require(count <= std::numeric_limits<int32_t>::max(), name, [&] { return text("too many indices: ", indices->shape()); });
    const std::vector<int32_t> index = indices->values<int32_t>();
    std::vector<int32_t> order(count), begin;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t i, int32_t j) { return index[i] < index[j]; });
    for (int64_t k = 0; k < count; ++k)
      if (k == 0 || index[order[k]] != index[order[k - 1]]) begin.push_back(static_cast<int32_t>(k));
    const int64_t segments = static_cast<int64_t>(begin.size());
    begin.push_back(static_cast<int32_t>(count));
    const auto on_device = [&](const std::vector<int32_t>& list) {
      return Tensor::from(list, {static_cast<int64_t>(list.size())}, rows_.device());
    };
    const Tensor sorted = on_device(order), begins = on_device(begin);
    const Tensor rows = rows_.contiguous(), y = Tensor::zeros({size, columns}, rows.dtype(), rows.device());
    with_float(name, rows.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for_each_row(y.device(), segments, columns,
                   AddSegment<T>{rows.data<T>(), indices->data<int32_t>(), sorted.data<int32_t>(), begins.data<int32_t>(),
                                 y.data<T>(), columns});
    });
    return y;
  }
  Gradients backward(const Tensor& g, const Backward&) const { return {embedding(g, *indices)}; }
};
Tensor scatter_rows(const Tensor& rows, const Tensor& indices, Count size) {
  require_defined(ScatterRows::name, "the index tensor", indices);
  const Called called(ScatterRows::name);
  require_in(interval::not_negative, ScatterRows::name, "size", static_cast<double>(size));
  return apply(ScatterRows{indices.contiguous(), size}, rows);
}

}  // namespace tapir
