// Which samples a step learns from: in every epoch each once, but for those that fill no batch, in an order of its own.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tapir {

// Row b of batch k is sample π_e(k B + b − e K B), e = ⌊k/K⌋ the epoch, K = ⌊samples/B⌋, π_e a permutation for seed, e and
// name.
class EpochOrder {
 public:
  // Throws Error for fewer samples than a batch has, named `task` and telling of its key: "task.`name`".
  EpochOrder(const std::string& task, const std::string& name, int64_t samples, int64_t batch, int64_t seed);

  std::vector<int64_t> rows(int64_t step, int64_t part, int64_t parts) const;   // of part `part` of `parts` of the step's batch

 private:
  struct Epoch {
    int64_t number;
    std::vector<int64_t> order;
  };

  const int64_t samples_, batch_;
  const uint64_t seed_;
  const uint32_t site_;
  mutable std::optional<Epoch> epoch_;   // the last one that was asked for
};

}  // namespace tapir
