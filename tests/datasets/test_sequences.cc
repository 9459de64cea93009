// Generated sequence tasks: cycle tables, every answer found again by another way, and no answer that gives itself away.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <span>

#include "datasets/synthetic/sequences.h"
#include "tensor/sha256.h"
#include "tests/datasets/datasets_helpers.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

using Ids = std::vector<int32_t>;

Ids row_of(const Ids& cells, const TokenBatch& batch, int64_t row) {
  const auto first = cells.begin() + row * batch.columns;
  return {first, first + batch.columns};
}

// Calls judge(inputs, targets) for each of `count` sequences.
template <class Judge>
void for_each_sequence(const SequenceSpec& spec, int64_t count, const Judge& judge) {
  const TokenBatch batch = Sequences(spec).batch("train", 1, 0, count);
  for (int64_t row = 0; row < count; ++row) judge(row_of(batch.inputs, batch, row), row_of(batch.targets, batch, row));
}

// Length to number of the cycles of x_t = (x_{t−1} + x_{t−τ}) mod N over all N^τ states.
std::map<int, int> cycles(int64_t symbols, int64_t delay) {
  const auto states = static_cast<size_t>(std::llround(std::pow(symbols, delay)));
  const auto after = [&](size_t state) {
    Ids digits(static_cast<size_t>(delay));
    for (int32_t& digit : digits) {
      digit = static_cast<int32_t>(state % static_cast<size_t>(symbols));
      state /= static_cast<size_t>(symbols);
    }
    const Ids series = nt_series(digits, symbols, delay + 1);
    size_t next = 0;
    for (size_t i = series.size() - 1; i > 0; --i)
      next = next * static_cast<size_t>(symbols) + static_cast<size_t>(series[i]);
    return next;
  };
  std::vector<bool> seen(states);
  std::map<int, int> found;
  for (size_t state = 0; state < states; ++state) {
    int length = 0;
    for (size_t at = state; !seen[at]; at = after(at), ++length) seen[at] = true;
    if (length > 0) ++found[length];
  }
  return found;
}

const std::vector<SequenceSpec> examples = {{.task = "nt", .symbols = 4, .delay = 3, .size = 12},
                                            {.task = "nt", .symbols = 3, .delay = 2, .size = 2},
                                            {.task = "recall", .symbols = 6, .size = 4},
                                            {.task = "recall", .symbols = 5, .size = 5},
                                            {.task = "copy", .symbols = 4, .size = 6},
                                            {.task = "induction", .symbols = 5, .size = 9},
                                            {.task = "parity", .size = 8}};

}  // namespace

TEST_CASE("NT series: the cycles of 20 pairs of basis and delay (golden 1.2.4)") {
  const std::map<std::pair<int, int>, std::map<int, int>> table = {
      {{2, 2}, {{1, 1}, {3, 1}}},
      {{2, 3}, {{1, 1}, {7, 1}}},
      {{2, 4}, {{1, 1}, {15, 1}}},
      {{2, 5}, {{1, 1}, {3, 1}, {7, 1}, {21, 1}}},
      {{2, 6}, {{1, 1}, {63, 1}}},
      {{2, 7}, {{1, 1}, {127, 1}}},
      {{2, 8}, {{1, 1}, {3, 1}, {63, 4}}},
      {{2, 10}, {{1, 1}, {7, 1}, {127, 1}, {889, 1}}},
      {{3, 2}, {{1, 1}, {8, 1}}},
      {{3, 3}, {{1, 1}, {2, 1}, {8, 3}}},
      {{3, 5}, {{1, 1}, {2, 1}, {6, 1}, {13, 2}, {26, 2}, {78, 2}}},
      {{4, 3}, {{1, 1}, {7, 1}, {14, 4}}},
      {{5, 2}, {{1, 1}, {4, 1}, {20, 1}}},
      {{5, 3}, {{1, 1}, {31, 4}}},
      {{8, 3}, {{1, 1}, {7, 1}, {14, 4}, {28, 16}}},
      {{10, 2}, {{1, 1}, {3, 1}, {4, 1}, {12, 1}, {20, 1}, {60, 1}}},
      {{10, 3}, {{1, 1}, {7, 1}, {31, 4}, {217, 4}}},
      {{16, 2}, {{1, 1}, {3, 1}, {6, 2}, {12, 4}, {24, 8}}},
      {{16, 3}, {{1, 1}, {7, 1}, {14, 4}, {28, 16}, {56, 64}}},
      {{16, 4}, {{1, 1}, {15, 1}, {30, 8}, {60, 64}, {120, 512}}}};
  CHECK(table.size() == 20);
  for (const auto& row : table) {
    CAPTURE(row.first.first);
    CAPTURE(row.first.second);
    CHECK(cycles(row.first.first, row.first.second) == row.second);
  }
  CHECK(nt_series({0, 1}, 10, 12) == Ids{0, 1, 1, 2, 3, 5, 8, 3, 1, 4, 5, 9});  // Fibonacci's last digits
  CHECK(nt_series({1, 2, 3}, 5, 2) == Ids{1, 2, 3});
  CHECK(error_of([] { nt_series({}, 5, 2); }) == "nt: expected a start, symbols and a length, found 0, 5 and 2");
  CHECK(error_of([] { nt_series({1}, 0, 2); }) == "nt: expected a start, symbols and a length, found 1, 0 and 2");
  CHECK(error_of([] { nt_series({1}, 5, -1); }) == "nt: expected a start, symbols and a length, found 1, 5 and -1");
  CHECK(error_of([] { Sequences({.task = "nt", .size = 1 << 20}).batch("train", 0, 0, 1 << 11); }) ==
        "batches: expected fewer than 2^31 tokens in a batch, found 2048 rows of 1048576 columns");
}

TEST_CASE("nt: each answer is the sum of two tokens; every start occurs") {
  std::set<Ids> starts;
  for_each_sequence({.task = "nt", .symbols = 3, .delay = 4, .size = 9}, 2000, [&](const Ids& inputs, const Ids& targets) {
    for (size_t t = 0; t < 9; ++t) {
      REQUIRE(targets[t] == (t < 3 ? ignored_target : (inputs[t] + inputs[t - 3]) % 3));
      if (t >= 3 && t < 8) REQUIRE(targets[t] == inputs[t + 1]);
    }
    starts.insert(Ids(inputs.begin(), inputs.begin() + 4));
  });
  CHECK(starts.size() == 81);
}

TEST_CASE("recall: keys differ, and each is asked for once") {
  for_each_sequence({.task = "recall", .symbols = 7, .size = 5}, 500, [](const Ids& inputs, const Ids& targets) {
    std::map<int32_t, int32_t> value;
    for (size_t i = 0; i < 10; i += 2) {
      REQUIRE((inputs[i] >= 0 && inputs[i] < 7));
      REQUIRE((inputs[i + 1] >= 7 && inputs[i + 1] < 14));
      value[inputs[i]] = inputs[i + 1];
    }
    REQUIRE(value.size() == 5);
    for (size_t i = 0; i < 10; ++i) REQUIRE(targets[i] == ignored_target);
    for (size_t i = 10; i < 15; ++i) {
      REQUIRE(value.contains(inputs[i]));
      REQUIRE(targets[i] == value[inputs[i]]);
      value.erase(inputs[i]);
    }
  });
}

TEST_CASE("copy: what is read before the separator is written after it") {
  for_each_sequence({.task = "copy", .symbols = 5, .size = 6}, 500, [](const Ids& inputs, const Ids& targets) {
    REQUIRE(std::count(inputs.begin(), inputs.end(), 5) == 1);
    REQUIRE(inputs[6] == 5);
    REQUIRE(Ids(targets.begin(), targets.begin() + 6) == Ids(6, ignored_target));
    REQUIRE(Ids(targets.begin() + 6, targets.end()) == Ids(inputs.begin(), inputs.begin() + 6));
    REQUIRE(std::equal(inputs.begin() + 7, inputs.end(), inputs.begin()));
  });
}

TEST_CASE("induction: the mark stands at the end and once, anywhere, before it") {
  std::map<int64_t, int> places;
  for_each_sequence({.task = "induction", .symbols = 5, .size = 9}, 1400, [&](const Ids& inputs, const Ids& targets) {
    REQUIRE(std::count(inputs.begin(), inputs.end(), 5) == 2);
    REQUIRE(inputs.back() == 5);
    const auto mark = std::find(inputs.begin(), inputs.end(), 5);
    REQUIRE(std::count(targets.begin(), targets.end(), ignored_target) == 8);
    REQUIRE(targets.back() == *(mark + 1));
    REQUIRE(targets.back() != 5);
    ++places[mark - inputs.begin()];
  });
  CHECK(places.size() == 7);
  for (const auto& place : places) CHECK(std::abs(place.second - 200) < 70);  // 5 standard deviations
}

TEST_CASE("parity: whether the number of ones so far is odd") {
  for_each_sequence({.task = "parity", .size = 11}, 500, [](const Ids& inputs, const Ids& targets) {
    for (int64_t t = 0; t < 11; ++t)
      REQUIRE(targets[static_cast<size_t>(t)] == std::count(inputs.begin(), inputs.begin() + t + 1, 1) % 2);
  });
}

// A target that were likelier at some position, or after some token, could be guessed without the task being solved.
TEST_CASE("neither its position nor the token there tells the answer") {
  for (const SequenceSpec& spec : examples) {
    CAPTURE(spec.task);
    const Sequences sequences(spec);
    std::map<std::pair<size_t, int32_t>, std::map<int32_t, int>> by_position, by_token;
    std::set<int32_t> answers, tokens;
    for_each_sequence(spec, 4000, [&](const Ids& inputs, const Ids& targets) {
      for (size_t t = 0; t < inputs.size(); ++t) {
        tokens.insert(inputs[t]);
        if (targets[t] == ignored_target) continue;
        answers.insert(targets[t]);
        ++by_position[{t, 0}][targets[t]];
        if (spec.task != "parity" || t > 0) ++by_token[{0, inputs[t]}][targets[t]];  // the first bit is its own parity
      }
    });
    CHECK(*tokens.rbegin() == sequences.vocabulary() - 1);
    CHECK(tokens.size() == static_cast<size_t>(sequences.vocabulary()));
    CHECK(answers.size() == static_cast<size_t>(spec.task == "parity" ? 2 : spec.symbols));
    for (const auto* table : {&by_position, &by_token})
      for (const auto& row : *table) {
        double total = 0;
        for (const auto& cell : row.second) total += cell.second;
        const double expected = total / static_cast<double>(answers.size());
        CHECK(row.second.size() == answers.size());
        for (const auto& cell : row.second) CHECK(std::abs(cell.second - expected) < 5 * std::sqrt(expected));
      }
  }
}

TEST_CASE("a sequence depends on part, seed and index alone") {
  for (const SequenceSpec& spec : examples) {
    CAPTURE(spec.task);
    const Sequences sequences(spec);
    const TokenBatch batch = sequences.batch("train", 3, 5, 4);
    CHECK(batch.rows == 4);
    CHECK(batch.columns == sequences.length());
    for (int64_t row = 0; row < 4; ++row) {
      const TokenBatch one = sequences.batch("train", 3, 20 + row, 1);
      CHECK(one.inputs == row_of(batch.inputs, batch, row));
      CHECK(one.targets == row_of(batch.targets, batch, row));
    }
    CHECK(sequences.batch("valid", 3, 5, 4).inputs != batch.inputs);
    CHECK(sequences.batch("train", 4, 5, 4).inputs != batch.inputs);
    CHECK(sequences.batch("train", 3, 6, 4).inputs != batch.inputs);
    // Index 2^32 is not index 0.
    CHECK(sequences.batch("train", 3, 1 << 30, 16).inputs != sequences.batch("train", 3, 0, 16).inputs);
  }
}

TEST_CASE("no sequence of a large task is both trained on and evaluated") {
  const Sequences sequences({.task = "recall", .symbols = 16, .size = 8});
  std::set<Ids> seen;
  for (const char* part : {"train", "valid", "test"}) {
    const TokenBatch batch = sequences.batch(part, 0, 0, 1000);
    for (int64_t row = 0; row < batch.rows; ++row) seen.insert(row_of(batch.inputs, batch, row));
  }
  CHECK(seen.size() == 3000);
}

TEST_CASE("the same sequences everywhere") {
  Sha256 sha;
  for (const SequenceSpec& spec : examples) {
    const TokenBatch batch = Sequences(spec).batch("train", 1, 2, 50);
    sha.update(std::as_bytes(std::span(batch.inputs)));
    sha.update(std::as_bytes(std::span(batch.targets)));
  }
  CHECK(sha.hex() == "a0956eb7911691f404844f872848c00ea45d2aef6ecad4268b77422327fc16b5");
}

TEST_CASE("a sequence task that cannot be is refused") {
  const auto refused = [](const SequenceSpec& spec) { return error_of([&] { Sequences{spec}; }); };
  CHECK(sequence_tasks() == std::vector<std::string>{"nt", "recall", "copy", "induction", "parity"});
  CHECK(refused({.task = "sort"}) == "sequences: expected the task nt, recall, copy, induction or parity, found \"sort\"");
  CHECK(refused({.task = "copy", .symbols = 1}) == "copy: expected 2 to 2^20 symbols, found 1");
  CHECK(refused({.task = "copy", .symbols = 1 << 21}) == "copy: expected 2 to 2^20 symbols, found 2097152");
  CHECK(refused({.task = "induction", .size = 2}) == "induction: expected a size of 3 to 2^20, found 2");
  CHECK(refused({.task = "parity", .size = 1 << 21}) == "parity: expected a size of 1 to 2^20, found 2097152");
  CHECK(refused({.task = "nt", .delay = 0}) == "nt: expected a delay in [1, 16], the size, found 0");
  CHECK(refused({.task = "nt", .delay = 17}) == "nt: expected a delay in [1, 16], the size, found 17");
  CHECK(refused({.task = "recall", .symbols = 4, .size = 5}) ==
        "recall: expected a key for each pair, found 4 symbols for a size of 5");
  const Sequences sequences({});
  CHECK(error_of([&] { sequences.batch("train", 1, -1, 4); }) ==
        "sequences: expected rows in [1, 2^31) and a batch in [0, 2^31), found 4 and -1");
  CHECK(error_of([&] { sequences.batch("train", 1, 0, 0); }) ==
        "sequences: expected rows in [1, 2^31) and a batch in [0, 2^31), found 0 and 0");
}
