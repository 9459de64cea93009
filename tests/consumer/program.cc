// A program of one's own with all commands of tapir, for a mechanism and a task that it adds.
#include "attention/reproduce/program/program.h"
#include "attention/reproduce/tasks/tokens.h"
#include "attention/zoo.h"
#include "autograd/ops.h"

using namespace tapir;

// softmax(Q Kᵀ): scaled dot-product attention without its scale.
struct Unscaled final : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call&) const override { return matmul(Q, transpose(K)); }
};

struct CountOptions : nn::Options {   // [task]
  int64_t numbers = 8;
  void fields(nn::FieldVisitor& visit) override { visit("numbers", numbers, "to count to", nn::between(2, 1000)); }
};

// Count from any number on, and begin again after the last one.
class CountTask final : public TokenTask {
 public:
  explicit CountTask(Experiment& experiment)
      : TokenTask(experiment), numbers_(dynamic_cast<const CountOptions&>(*experiment.task.own).numbers) {
    make_model({.takes = Takes::tokens, .gives = Gives::next_token, .vocabulary = numbers_});
  }

  TrainTask train_task() override {
    TrainTask task{model(), {}, {}, experiment_.identity()};
    task.loss = [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
      return loss(batch(step, experiment_.train.batch), part, parts, call);
    };
    task.evaluate = [this](const nn::Call&) { return Metrics{{"validation_loss", validation_loss()}}; };
    return task;
  }
  Evaluation evaluate_part(const std::string&) override { return {{{"nats", text(validation_loss())}}}; }
  Results comparable(const std::string&) const override { return {{"numbers", text(numbers_)}}; }
  std::string drawn() const override { return ""; }   // batches do not depend on the seed
  std::pair<Batch, int64_t> sample() const override { return {tokens_of(numbers_), numbers_}; }
  std::string summary() const override { return "counting to " + text(numbers_); }

 private:
  TokenBatch batch(int64_t first, int64_t rows) const {
    TokenBatch all = padding_batch(rows, numbers_);
    for (int64_t i = 0; i < rows * numbers_; ++i) {
      all.inputs[i] = static_cast<int32_t>((first + i / numbers_ + i) % numbers_);
      all.targets[i] = static_cast<int32_t>((all.inputs[i] + 1) % numbers_);
    }
    return all;
  }
  double validation_loss() const {
    const LossSum all = loss(batch(0, numbers_));
    return all.sum.item() / static_cast<double>(all.count);
  }

  const int64_t numbers_;
};

int main(int argc, char** argv) {
  add_mechanism(row_of<nn::Options>(
      {.name = "unscaled", .title = "Unscaled dot product", .paper = "of this program", .equation = "s_ij = q_i·k_j",
       .cost = "4 D operations a pair"},
      staged_claims, [](const nn::Options&, const MixerShape& shape) { return std::make_unique<Unscaled>(shape); }));
  add_task({.name = "count", .title = "counting", .options = [] { return std::make_unique<CountOptions>(); },
            .make = [](Experiment& experiment, const std::filesystem::path&) -> std::unique_ptr<Task> {
              return std::make_unique<CountTask>(experiment);
            }});
  return program_main(argc, argv);
}
