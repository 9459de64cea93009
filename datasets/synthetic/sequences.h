// Generated sequence tasks: what a token is follows from tokens before it, at a distance that is known. A sequence is a
// pure function of its part, seed and index.
//
// A position is judged where its answer can be known: targets are the answer there and ignored_target elsewhere. Accuracy
// is the share of judged positions whose likeliest token is the target. N is `symbols`, τ is `delay`, n is `size`.
//
//   nt         x_t = (x_{t−1} + x_{t−τ}) mod N from τ uniform symbols on, x_0 … x_{n−1}. Positions t ≥ τ − 1 are judged on
//              x_{t+1}. The NT series of Gros 2024 (arXiv 2407.18601), as second-hand sources describe them.
//   recall     n different keys, each with a uniform value after it; then the keys in another order, each judged on its
//              value. Associative recall with several queries: Arora et al. 2023 (arXiv 2312.04927).
//   copy       n uniform symbols and a separator, judged on the first symbol; then the symbols but for the last, each
//              judged on the next one. Graves, Wayne, Danihelka 2014 (arXiv 1410.5401).
//   induction  n tokens. A mark stands at the end and once before, anywhere; the end is judged on the symbol that followed
//              the mark. Fu et al. 2022 (arXiv 2212.14052), after the induction heads of Olsson et al. 2022.
//   parity     n uniform bits, every one judged on the sum of all bits so far, mod 2.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/text/batches.h"

namespace tapir {

struct SequenceSpec {
  std::string task = "nt";
  int64_t symbols = 4;  // N, of all but parity
  int64_t delay = 2;    // τ, of nt
  int64_t size = 16;    // n
};

class Sequences {
 public:
  // Error: there is no such task; symbols or size out of range; delay outside [1, size]; fewer symbols than keys.
  explicit Sequences(const SequenceSpec& spec);

  int64_t vocabulary() const;  // nt N, recall 2 N (keys, then values), copy and induction N + 1 (the mark is N), parity 2
  int64_t length() const;      // tokens of a sequence: recall 3 n, copy 2 n, else n

  // Sequences [k rows, (k + 1) rows) of a part, such as "train". Error: rows outside [1, 2^31) or k outside [0, 2^31).
  TokenBatch batch(std::string_view part, uint64_t seed, int64_t k, int64_t rows) const;

 private:
  SequenceSpec spec_;
};

// The series that starts with the τ symbols of `state`, each in [0, N): its first `length` symbols.
std::vector<int32_t> nt_series(std::vector<int32_t> state, int64_t symbols, int64_t length);

const std::vector<std::string>& sequence_tasks();  // their names

}  // namespace tapir
