// Batches: cut by hand, then as properties over many sizes.
#include <doctest/doctest.h>

#include <map>
#include <numeric>

#include "datasets/text/batches.h"
#include "tests/datasets/datasets_helpers.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

using Ids = std::vector<int32_t>;

Ids count_to(int64_t n) {
  Ids ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

}  // namespace

TEST_CASE("training batches of 17 ids, 2 rows, 3 columns") {
  const ContiguousBatches batches(count_to(17), 2, 3);  // streams 0..7 and 8..15; 16 is dropped
  CHECK(batches.batches_per_epoch() == 2);
  const TokenBatch first = batches.batch(0), second = batches.batch(1), again = batches.batch(2);
  CHECK(first.rows == 2);
  CHECK(first.columns == 3);
  CHECK(first.inputs == Ids{0, 1, 2, 8, 9, 10});
  CHECK(first.targets == Ids{1, 2, 3, 9, 10, 11});
  CHECK(second.inputs == Ids{3, 4, 5, 11, 12, 13});
  CHECK(second.targets == Ids{4, 5, 6, 12, 13, 14});
  CHECK(again.inputs == first.inputs);
  CHECK(again.targets == first.targets);
  CHECK(batches.batch(1'000'000'001).inputs == second.inputs);
}

TEST_CASE("evaluation batches of 17 ids, 2 rows, 3 columns") {
  const EvaluationBatches batches(count_to(17), 2, 3);
  CHECK(batches.size() == 3);
  CHECK(batches.batch(1).inputs == Ids{3, 4, 5, 11, 12, 13});
  CHECK(batches.batch(2).inputs == Ids{6, 0, 0, 14, 0, 0});
  CHECK(batches.batch(2).targets == Ids{7, -1, -1, 15, -1, -1});
  const TokenBatch whole = EvaluationBatches(count_to(3), 1, 5).batch(0);  // shorter than one batch
  CHECK(whole.inputs == Ids{0, 1, 0, 0, 0});
  CHECK(whole.targets == Ids{1, 2, -1, -1, -1});
}

TEST_CASE("every size: targets are inputs shifted by one, each position is used once") {
  for (int64_t n = 2; n <= 40; ++n) {
    for (int64_t rows = 1; rows <= n / 2; ++rows) {
      for (int64_t columns = 1; columns <= 9; ++columns) {
        const int64_t length = n / rows;
        CAPTURE(n);
        CAPTURE(rows);
        CAPTURE(columns);
        const EvaluationBatches evaluation(count_to(n), rows, columns);
        REQUIRE((evaluation.size() - 1) * columns < length - 1);  // the last batch has something to count
        std::map<int32_t, int> counted;
        for (int64_t k = 0; k < evaluation.size(); ++k) {
          const TokenBatch batch = evaluation.batch(k);
          REQUIRE(batch.inputs.size() == static_cast<size_t>(rows * columns));
          for (size_t i = 0; i < batch.targets.size(); ++i) {
            if (batch.targets[i] == ignored_target) continue;
            ++counted[batch.targets[i]];
            REQUIRE(batch.targets[i] == batch.inputs[i] + 1);
          }
        }
        REQUIRE(static_cast<int64_t>(counted.size()) == rows * (length - 1));
        for (int32_t id = 0; id < rows * length; ++id) REQUIRE(counted[id] == (id % length == 0 ? 0 : 1));

        if (length <= columns) {
          REQUIRE(!error_of([&] { ContiguousBatches(count_to(n), rows, columns); }).empty());
          continue;
        }
        const ContiguousBatches training(count_to(n), rows, columns);
        std::map<int32_t, int> used;
        for (int64_t k = 0; k < training.batches_per_epoch(); ++k) {
          const TokenBatch batch = training.batch(k);
          REQUIRE(batch.inputs == evaluation.batch(k).inputs);
          REQUIRE(batch.targets == evaluation.batch(k).targets);
          for (const int32_t id : batch.inputs) ++used[id];
        }
        const int64_t covered = (length - 1) / columns * columns;
        for (int32_t id = 0; id < rows * length; ++id) REQUIRE(used[id] == (id % length < covered ? 1 : 0));
      }
    }
  }
}

TEST_CASE("shuffled windows: each once in an epoch, in an order that seed and epoch alone decide") {
  for (const int64_t rows : {1, 3})
    for (const int64_t columns : {1, 4})
      for (const int64_t n : {13, 40, 41}) {
        const ShuffledBatches batches(count_to(n), rows, columns, 5);
        const int64_t windows = (n - 1) / columns;
        REQUIRE(batches.batches_per_epoch() == windows / rows);
        for (const int64_t epoch : {0, 1}) {
          std::map<int32_t, int> begins;
          for (int64_t k = 0; k < batches.batches_per_epoch(); ++k) {
            const TokenBatch batch = batches.batch(epoch * batches.batches_per_epoch() + k);
            for (int64_t row = 0; row < rows; ++row) {
              const int32_t begin = batch.inputs[row * columns];
              REQUIRE(begin % columns == 0);
              ++begins[begin];
              for (int64_t t = 0; t < columns; ++t) {
                REQUIRE(batch.inputs[row * columns + t] == begin + t);
                REQUIRE(batch.targets[row * columns + t] == begin + t + 1);
              }
            }
          }
          REQUIRE(static_cast<int64_t>(begins.size()) == windows / rows * rows);   // none twice
        }
      }
  const auto order = [](uint64_t seed, std::vector<int64_t> steps) {
    const ShuffledBatches batches(count_to(401), 4, 4, seed);   // 25 an epoch
    std::vector<std::vector<int32_t>> all;
    for (const int64_t step : steps) all.push_back(batches.batch(step).inputs);
    return all;
  };
  const auto forth = order(1, {0, 1, 30, 60}), back = order(1, {60, 30, 1, 0});
  for (size_t k = 0; k < 4; ++k) CHECK(forth[k] == back[3 - k]);   // whatever was asked before
  CHECK(order(2, {0}) != order(1, {0}));
  CHECK(order(1, {25}) != order(1, {0}));
  // All of the first 24 orders of 4 windows are drawn, about equally often: χ² of 23 degrees is below 49.7 with p = 0.999.
  std::map<std::vector<int32_t>, int> drawn;
  constexpr int draws = 2400;
  for (int seed = 0; seed < draws; ++seed) ++drawn[ShuffledBatches(count_to(5), 4, 1, seed).batch(0).inputs];
  CHECK(drawn.size() == 24);
  double chi2 = 0;
  for (const auto& one : drawn) chi2 += (one.second - draws / 24.0) * (one.second - draws / 24.0) / (draws / 24.0);
  CHECK(chi2 < 49.7);
}

TEST_CASE("too few tokens, and sizes and numbers out of range") {
  const std::string hint = "; hint: use fewer rows or columns, or more text";
  CHECK_NOTHROW(ContiguousBatches(count_to(2056), 8, 256));
  CHECK(error_of([] { ContiguousBatches(count_to(2055), 8, 256); }) ==
        "batches: 8 rows of 256 columns need at least 2056 tokens, found 2055" + hint);
  CHECK(error_of([] { EvaluationBatches(count_to(15), 8, 256); }) ==
        "batches: 8 rows of 256 columns need at least 16 tokens, found 15" + hint);
  CHECK_NOTHROW(ShuffledBatches(count_to(2049), 8, 256, 1));
  CHECK(error_of([] { ShuffledBatches(count_to(2048), 8, 256, 1); }) ==
        "batches: 8 rows of 256 columns need at least 2049 tokens, found 2048" + hint);
  CHECK(error_of([] { ShuffledBatches(count_to(9), 0, 2, 1); }) ==
        "batches: expected rows and columns in [1, 2^31), found 0 and 2");
  CHECK(error_of([] { ShuffledBatches(count_to(9), 2, 2, 1).batch(-1); }) ==
        "batches: expected a batch number of at least 0, found -1");
  CHECK(error_of([] { ContiguousBatches({}, 1, 1); }) ==
        "batches: 1 rows of 1 columns need at least 2 tokens, found 0" + hint);
  CHECK(error_of([] { ContiguousBatches(count_to(9), 0, 2); }) ==
        "batches: expected rows and columns in [1, 2^31), found 0 and 2");
  CHECK(error_of([] { EvaluationBatches(count_to(9), 2, 2147483648); }) ==
        "batches: expected rows and columns in [1, 2^31), found 2 and 2147483648");
  CHECK(error_of([] { ContiguousBatches(count_to(9), 2, 2).batch(-1); }) ==
        "batches: expected a batch number of at least 0, found -1");
  for (const int64_t k : {-1, 2}) {
    CHECK(error_of([&] { EvaluationBatches(count_to(9), 2, 2).batch(k); }) ==
          text("batches: expected a batch number in [0, 2), found ", k));
  }
}
