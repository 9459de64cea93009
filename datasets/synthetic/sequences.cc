#include "datasets/synthetic/sequences.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "datasets/draws.h"
#include "datasets/text/utf8.h"
#include "tensor/dry_run.h"
#include "tensor/error.h"

namespace tapir {
namespace {

Draws draws_of(std::string_view part, uint64_t seed, uint64_t index) {
  return {{.seed = seed, .step = static_cast<uint32_t>(index), .site = site_of(part)}, index >> 32 << 32};
}

// Writes one sequence; all targets are ignored_target so far.
using Write = void (*)(const SequenceSpec& spec, Draws& draws, std::span<int32_t> inputs, std::span<int32_t> targets);

void write_nt(const SequenceSpec& spec, Draws& draws, std::span<int32_t> inputs, std::span<int32_t> targets) {
  std::vector<int32_t> state(static_cast<size_t>(spec.delay));
  for (int32_t& symbol : state) symbol = draws.below(spec.symbols);
  const std::vector<int32_t> series = nt_series(std::move(state), spec.symbols, spec.size + 1);
  std::copy_n(series.begin(), spec.size, inputs.begin());
  std::copy(series.begin() + spec.delay, series.end(), targets.begin() + spec.delay - 1);
}

// `count` different numbers of 0 … n − 1 in random order (Fisher, Yates).
std::vector<int32_t> distinct(Draws& draws, int64_t count, int64_t n) {
  std::vector<int32_t> numbers(static_cast<size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0);
  for (int64_t i = 0; i < count; ++i)
    std::swap(numbers[static_cast<size_t>(i)], numbers[static_cast<size_t>(i + draws.below(n - i))]);
  numbers.resize(static_cast<size_t>(count));
  return numbers;
}

void write_recall(const SequenceSpec& spec, Draws& draws, std::span<int32_t> inputs, std::span<int32_t> targets) {
  const auto n = static_cast<size_t>(spec.size);
  const std::vector<int32_t> keys = distinct(draws, spec.size, spec.symbols);
  for (size_t pair = 0; pair < n; ++pair) {
    inputs[2 * pair] = keys[pair];
    inputs[2 * pair + 1] = static_cast<int32_t>(spec.symbols) + draws.below(spec.symbols);
  }
  const std::vector<int32_t> order = distinct(draws, spec.size, spec.size);
  for (size_t query = 0; query < n; ++query) {
    const auto pair = static_cast<size_t>(order[query]);
    inputs[2 * n + query] = keys[pair];
    targets[2 * n + query] = inputs[2 * pair + 1];
  }
}

void write_copy(const SequenceSpec& spec, Draws& draws, std::span<int32_t> inputs, std::span<int32_t> targets) {
  const auto n = static_cast<size_t>(spec.size);
  for (size_t i = 0; i < n; ++i) targets[n + i] = inputs[i] = draws.below(spec.symbols);
  inputs[n] = static_cast<int32_t>(spec.symbols);
  std::copy_n(inputs.begin(), n - 1, inputs.begin() + static_cast<int64_t>(n) + 1);
}

void write_induction(const SequenceSpec& spec, Draws& draws, std::span<int32_t> inputs, std::span<int32_t> targets) {
  for (int32_t& symbol : inputs) symbol = draws.below(spec.symbols);
  const auto marked = static_cast<size_t>(draws.below(spec.size - 2));
  inputs[marked] = inputs.back() = static_cast<int32_t>(spec.symbols);
  targets.back() = inputs[marked + 1];
}

void write_parity(const SequenceSpec&, Draws& draws, std::span<int32_t> inputs, std::span<int32_t> targets) {
  int32_t sum = 0;
  for (size_t i = 0; i < inputs.size(); ++i) targets[i] = sum ^= inputs[i] = draws.below(2);
}

struct Row {
  std::string name;
  int64_t smallest;          // size
  int64_t repeats;           // tokens of a sequence over size
  int64_t per_symbol, more;  // the vocabulary is per_symbol N + more
  Write write;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {{"nt", 1, 1, 1, 0, write_nt},
                                         {"recall", 1, 3, 2, 0, write_recall},
                                         {"copy", 1, 2, 1, 1, write_copy},
                                         {"induction", 3, 1, 1, 1, write_induction},
                                         {"parity", 1, 1, 0, 2, write_parity}};
  return table;
}

const Row& row_of(const SequenceSpec& spec) {
  const auto row = std::find_if(rows().begin(), rows().end(), [&](const Row& one) { return one.name == spec.task; });
  require(row != rows().end(), "sequences",
          [&] { return text("expected the task nt, recall, copy, induction or parity, found ", shown(spec.task)); });
  return *row;
}

}  // namespace

Sequences::Sequences(const SequenceSpec& spec) : spec_(spec) {
  const Row& row = row_of(spec);
  constexpr int64_t most = 1 << 20;
  require(spec.symbols >= 2 && spec.symbols <= most, spec.task,
          [&] { return text("expected 2 to 2^20 symbols, found ", spec.symbols); });
  require(spec.size >= row.smallest && spec.size <= most, spec.task,
          [&] { return text("expected a size of ", row.smallest, " to 2^20, found ", spec.size); });
  require(spec.task != "nt" || (spec.delay >= 1 && spec.delay <= spec.size), spec.task,
          [&] { return text("expected a delay in [1, ", spec.size, "], the size, found ", spec.delay); });
  require(spec.task != "recall" || spec.size <= spec.symbols, spec.task,
          [&] { return text("expected a key for each pair, found ", spec.symbols, " symbols for a size of ", spec.size); });
}

int64_t Sequences::vocabulary() const {
  const Row& row = row_of(spec_);
  return row.per_symbol * spec_.symbols + row.more;
}

int64_t Sequences::length() const { return row_of(spec_).repeats * spec_.size; }

TokenBatch Sequences::batch(std::string_view part, uint64_t seed, int64_t k, int64_t rows) const {
  constexpr int64_t most = int64_t{1} << 31;
  require(rows >= 1 && rows < most && k >= 0 && k < most, "sequences",
          [&] { return text("expected rows in [1, 2^31) and a batch in [0, 2^31), found ", rows, " and ", k); });
  const Row& task = row_of(spec_);
  const auto columns = static_cast<size_t>(length());
  TokenBatch batch = padding_batch(rows, length());
  const size_t drawn = DryRun::current() ? 1 : static_cast<size_t>(rows);   // which computes nothing of them
  for (size_t row = 0; row < drawn; ++row) {
    Draws draws = draws_of(part, seed, static_cast<uint64_t>(k * rows) + row);
    task.write(spec_, draws, std::span(batch.inputs).subspan(row * columns, columns),
               std::span(batch.targets).subspan(row * columns, columns));
  }
  return batch;
}

std::vector<int32_t> nt_series(std::vector<int32_t> state, int64_t symbols, int64_t length) {
  require(!state.empty() && symbols > 0 && length >= 0, "nt",
          [&] { return text("expected a start, symbols and a length, found ", state.size(), ", ", symbols, " and ", length); });
  const size_t delay = state.size();
  for (size_t t = delay; t < static_cast<size_t>(length); ++t)
    state.push_back(static_cast<int32_t>((int64_t{state[t - 1]} + state[t - delay]) % symbols));
  return state;
}

const std::vector<std::string>& sequence_tasks() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Row& row : rows()) all.push_back(row.name);
    return all;
  }();
  return names;
}

}  // namespace tapir
