// Generated sequences (datasets/synthetic/sequences.h): the answer at each judged position.
#pragma once
#include <optional>
#include <string>

#include "attention/reproduce/tasks/task_row.h"
#include "attention/reproduce/tasks/tokens.h"
#include "datasets/synthetic/sequences.h"

namespace tapir {

struct SequenceOptions : nn::Options {   // [task] of a generated sequence task
  SequenceSpec sequence;
  int64_t longer = 0;
  int64_t evaluated = 512;

  void fields(nn::FieldVisitor& visit) override;
};

class SequenceTask final : public TokenTask {
 public:
  // Without weights yet. Throws Error for what Sequences refuses, and for sequences that are longer than the model takes.
  explicit SequenceTask(Experiment& experiment);

  // Step k trains on batch k of the part "train" with the run's seed; evaluation sequences are the same for all seeds.
  TrainTask train_task() override;
  Evaluation evaluate_part(const std::string& part) override;
  Results comparable(const std::string& part) const override;
  std::string drawn() const override { return "sequences"; }
  std::pair<Batch, int64_t> sample() const override;
  std::string summary() const override;

  struct Result {
    double loss = 0;       // mean, nats per judged position
    double accuracy = 0;   // share of judged positions whose likeliest token is the target
    int64_t judged = 0;
  };
  Result evaluate(const Sequences& sequences, const std::string& part);

 private:
  const SequenceOptions& options_;
  Sequences sequences_;
  std::optional<Sequences> longer_;
};

TaskRow sequence_row(const std::string& name);   // of sequence_tasks()

}  // namespace tapir
