// Generated sequences (datasets/synthetic/sequences.h): the answer at each judged position.
#pragma once
#include <optional>
#include <string>

#include "attention/reproduce/tasks/task.h"
#include "datasets/synthetic/sequences.h"

namespace tapir {

class SequenceTask final : public Task {
 public:
  // Without weights yet. Throws Error for what Sequences refuses, and for sequences that are longer than model.context.
  explicit SequenceTask(Experiment& experiment);

  // Step k trains on batch k of the part "train" with the run's seed; evaluation sequences are the same for all seeds.
  TrainTask train_task() override;
  Results evaluate_part(const std::string& part) override;
  std::string signature(const std::string& part) const override;
  std::string summary() const override;
  void save(const std::filesystem::path&) const override {}

  struct Result {
    double loss = 0;       // mean, nats per judged position
    double accuracy = 0;   // share of judged positions whose likeliest token is the target
    int64_t judged = 0;
  };
  Result evaluate(const Sequences& sequences, const std::string& part);

 private:
  Sequences sequences_;
  std::optional<Sequences> longer_;
};

}  // namespace tapir
