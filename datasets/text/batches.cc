#include "datasets/text/batches.h"

#include <algorithm>
#include <utility>

#include "datasets/draws.h"
#include "tensor/available_memory.h"
#include "tensor/error.h"

namespace tapir {
namespace {

void require_extents(int64_t rows, int64_t columns) {
  const auto in_range = [](int64_t extent) { return extent >= 1 && extent < int64_t{1} << 31; };
  require(in_range(rows) && in_range(columns), "batches",
          [&] { return text("expected rows and columns in [1, 2^31), found ", rows, " and ", columns); });
}

void require_tokens(const std::vector<int32_t>& ids, int64_t rows, int64_t columns, int64_t needed) {
  const auto count = static_cast<int64_t>(ids.size());
  require(
      count >= needed, "batches",
      [&] { return text(rows, " rows of ", columns, " columns need at least ", needed, " tokens, found ", count); },
      "use fewer rows or columns, or more text");
}

// L, the length of each of `rows` streams, each of which must have at least `needed` ids.
int64_t checked_stream_length(const std::vector<int32_t>& ids, int64_t rows, int64_t columns, int64_t needed) {
  require_extents(rows, columns);
  require_tokens(ids, rows, columns, rows * needed);
  return static_cast<int64_t>(ids.size()) / rows;
}

void require_number(int64_t k) {
  require(k >= 0, "batches", [&] { return text("expected a batch number of at least 0, found ", k); });
}

// The batch at position p of all streams. Positions without a next id are padding.
TokenBatch batch_at(const std::vector<int32_t>& ids, int64_t rows, int64_t columns, int64_t position) {
  const int64_t length = static_cast<int64_t>(ids.size()) / rows;
  const int64_t used = std::min(columns, length - 1 - position);
  TokenBatch batch = padding_batch(rows, columns);
  for (int64_t row = 0; row < rows; ++row) {
    const auto first = ids.begin() + row * length + position;
    std::copy_n(first, used, batch.inputs.begin() + row * columns);
    std::copy_n(first + 1, used, batch.targets.begin() + row * columns);
  }
  return batch;
}

}  // namespace

int64_t count_targets(std::span<const int32_t> targets) {
  return std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target != ignored_target; });
}

TokenBatch padding_batch(int64_t rows, int64_t columns) {
  int64_t cells = 0;
  require(!__builtin_mul_overflow(rows, columns, &cells) && cells >> 31 == 0, "batches",
          [&] { return text("expected fewer than 2^31 tokens in a batch, found ", rows, " rows of ", columns, " columns"); });
  constexpr int64_t bytes = 64;   // of a token: id, target, and what tensors of the smallest model have for it
  require_memory<OutOfMemory>("batches", bytes * cells, "use a smaller batch");
  return {rows, columns, std::vector<int32_t>(cells, 0), std::vector<int32_t>(cells, ignored_target)};
}

ContiguousBatches::ContiguousBatches(std::vector<int32_t> ids, int64_t rows, int64_t columns)
    : ids_(std::move(ids)),
      rows_(rows),
      columns_(columns),
      batches_per_epoch_((checked_stream_length(ids_, rows, columns, columns + 1) - 1) / columns) {}

TokenBatch ContiguousBatches::batch(int64_t k) const {
  require_number(k);
  return batch_at(ids_, rows_, columns_, k % batches_per_epoch_ * columns_);
}

ShuffledBatches::ShuffledBatches(std::vector<int32_t> ids, int64_t rows, int64_t columns, uint64_t seed)
    : ids_(std::move(ids)), rows_(rows), columns_(columns), seed_(seed) {
  require_extents(rows, columns);
  require_tokens(ids_, rows, columns, rows * columns + 1);
  windows_.resize((ids_.size() - 1) / columns);
}

TokenBatch ShuffledBatches::batch(int64_t k) const {
  require_number(k);
  const int64_t epoch = k / batches_per_epoch(), first = k % batches_per_epoch() * rows_;
  if (epoch != epoch_) {
    windows_ = permutation(static_cast<int64_t>(windows_.size()),
                           {.seed = seed_, .step = static_cast<uint32_t>(epoch), .site = site_of("windows")});
    epoch_ = epoch;
  }
  TokenBatch batch = padding_batch(rows_, columns_);
  for (int64_t row = 0; row < rows_; ++row) {
    const auto begin = ids_.begin() + windows_[first + row] * columns_;
    std::copy_n(begin, columns_, batch.inputs.begin() + row * columns_);
    std::copy_n(begin + 1, columns_, batch.targets.begin() + row * columns_);
  }
  return batch;
}

EvaluationBatches::EvaluationBatches(std::vector<int32_t> ids, int64_t rows, int64_t columns)
    : ids_(std::move(ids)),
      rows_(rows),
      columns_(columns),
      size_((checked_stream_length(ids_, rows, columns, 2) - 2) / columns + 1) {}  // ⌈(L − 1) / T⌉

TokenBatch EvaluationBatches::batch(int64_t k) const {
  require(k >= 0 && k < size_, "batches", [&] { return text("expected a batch number in [0, ", size_, "), found ", k); });
  return batch_at(ids_, rows_, columns_, k * columns_);
}

}  // namespace tapir
