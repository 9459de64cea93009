// Batches of a token stream. Batch k is a pure function of k: a resumed run needs to know k and nothing else.
//
// N ids are cut into B parallel streams of L = ⌊N / B⌋ ids: stream b is ids[b L … (b + 1) L). The last N mod B ids are not
// used. Row b of a batch that starts at position p has inputs stream_b[p … p + T) and targets stream_b[p + 1 … p + T + 1).
// Source: batchify and get_batch of word_language_model in pytorch/examples.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tapir {

inline constexpr int32_t ignored_target = -1;  // a position that no loss counts
int64_t count_targets(std::span<const int32_t> targets);   // those that are counted

// inputs and targets are (rows, columns), row by row.
struct TokenBatch {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<int32_t> inputs;
  std::vector<int32_t> targets;
};

// A batch with inputs 0 and targets ignored_target. Error: 2³¹ tokens or more.
TokenBatch padding_batch(int64_t rows, int64_t columns);

// For training. Batch k starts at position p = (k mod K) T, where K = ⌊(L − 1) / T⌋ is the number of batches of an epoch.
// The K T + 1 … L-th ids of each stream start no full batch and are not used as inputs.
class ContiguousBatches {
 public:
  // rows is B, columns is T. Error: B or T outside [1, 2^31), or fewer than B (T + 1) ids.
  ContiguousBatches(std::vector<int32_t> ids, int64_t rows, int64_t columns);

  int64_t batches_per_epoch() const { return batches_per_epoch_; }

  // Error: k < 0.
  TokenBatch batch(int64_t k) const;

 private:
  std::vector<int32_t> ids_;
  int64_t rows_, columns_, batches_per_epoch_;
};

// For training, in an order of its own for each epoch: the text is cut into W = ⌊(N − 1) / T⌋ windows of T tokens, and row b of
// batch k is window π_e(k B + b − e K B) with e = ⌊k / K⌋, K = ⌊W / B⌋ and π_e a permutation of the windows that is a pure
// function of the seed and e. The W mod B windows at the end of a permutation are not used in that epoch.
class ShuffledBatches {
 public:
  // rows is B, columns is T. Error: B or T outside [1, 2^31), or fewer than B T + 1 ids.
  ShuffledBatches(std::vector<int32_t> ids, int64_t rows, int64_t columns, uint64_t seed);

  int64_t batches_per_epoch() const { return static_cast<int64_t>(windows_.size()) / rows_; }

  // Error: k < 0. Not for two threads at once: the permutation of the last epoch is kept.
  TokenBatch batch(int64_t k) const;

 private:
  std::vector<int32_t> ids_;
  int64_t rows_, columns_;
  uint64_t seed_;
  mutable std::vector<int64_t> windows_;   // π of epoch_
  mutable int64_t epoch_ = -1;
};

// For evaluation: batch k starts at position p = k T, and the last batch is kept where it is short, with inputs 0 and
// targets ignored_target after the end of its streams. So over all ⌈(L − 1) / T⌉ batches every id but the first of each
// stream (and the last N mod B ids) is a counted target exactly once: B (L − 1) targets, and N − 1 with one stream.
class EvaluationBatches {
 public:
  // rows is B, columns is T. Error: B or T outside [1, 2^31), or fewer than 2 B ids.
  EvaluationBatches(std::vector<int32_t> ids, int64_t rows, int64_t columns);

  int64_t size() const { return size_; }  // number of batches

  // Error: k outside [0, size()).
  TokenBatch batch(int64_t k) const;

 private:
  std::vector<int32_t> ids_;
  int64_t rows_, columns_, size_;
};

}  // namespace tapir
