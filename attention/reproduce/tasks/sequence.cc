#include "attention/reproduce/tasks/sequence.h"

#include <fmt/core.h>

#include <algorithm>

#include "autograd/node.h"
#include "autograd/ops/cross_entropy.h"
#include "nn/train/finite.h"

namespace tapir {
namespace {

SequenceSpec with_size(SequenceSpec spec, int64_t size) {
  spec.size = size;
  return spec;
}

}  // namespace

SequenceTask::SequenceTask(Experiment& experiment) : Task(experiment), sequences_(experiment.task.sequence) {
  const TaskOptions& options = experiment.task;
  if (options.longer > 0) longer_.emplace(with_size(options.sequence, options.longer));
  const int64_t longest = std::max(sequences_.length(), longer_ ? longer_->length() : 0);
  require(longest <= experiment.model.context, options.name,
          [&] { return text("sequences of ", longest, " tokens exceed model.context = ", experiment.model.context); });
  make_model(sequences_.vocabulary());
}

TrainTask SequenceTask::train_task() {
  const auto loss = [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const auto seed = static_cast<uint64_t>(experiment_.run.seed);
    return this->loss(sequences_.batch("train", seed, step, experiment_.train.batch), part, parts, call);
  };
  const auto evaluate = [this](const nn::Call&) {
    const Result result = this->evaluate(sequences_, "valid");
    Metrics metrics{{"validation_loss", result.loss}, {"validation_accuracy", result.accuracy}};
    if (longer_) {
      const Result longer = this->evaluate(*longer_, "valid");
      metrics.insert(metrics.end(), {{"longer_loss", longer.loss}, {"longer_accuracy", longer.accuracy}});
    }
    return metrics;
  };
  const auto show = [this](const nn::Call& call) {
    const NoGrad guard;
    const TokenBatch batch = sequences_.batch("valid", 0, 0, 1);
    model().forward(Tensor::from(batch.inputs, {batch.rows, batch.columns}), call);
    std::vector<std::string> tokens;
    for (const int32_t id : batch.inputs) tokens.push_back(std::to_string(id));
    return tokens;
  };
  return {model(), loss, evaluate, experiment_.identity(), {"validation_accuracy", true}, show};
}

SequenceTask::Result SequenceTask::evaluate(const Sequences& sequences, const std::string& part) {
  const NoGrad guard;
  const int64_t rows = experiment_.train.batch, batches = (experiment_.task.evaluated + rows - 1) / rows;
  const auto vocabulary = static_cast<int64_t>(sequences.vocabulary());
  Result result;
  int64_t right = 0;
  for (int64_t k = 0; k < batches; ++k) {
    const TokenBatch batch = sequences.batch(part, 0, k, rows);
    const Shape shape{batch.rows, batch.columns};
    const Tensor logits = model().forward(Tensor::from(batch.inputs, shape), {});
    result.loss += cross_entropy(logits, Tensor::from(batch.targets, shape)).item();
    const std::vector<double> values = logits.to(DType::f64).values<double>();
    for (size_t i = 0; i < batch.targets.size(); ++i) {
      if (batch.targets[i] == ignored_target) continue;
      const auto first = values.begin() + static_cast<int64_t>(i) * vocabulary;
      right += std::max_element(first, first + vocabulary) - first == batch.targets[i];
      ++result.judged;
    }
  }
  result.loss /= static_cast<double>(result.judged);
  require_finite("evaluate", "the loss", result.loss);
  result.accuracy = static_cast<double>(right) / static_cast<double>(result.judged);
  return result;
}

Task::Results SequenceTask::evaluate_part(const std::string& part) {
  const Result result = evaluate(sequences_, part);
  Results results{{"judged", fmt::format("{}", result.judged)},
                  {"accuracy", fmt::format("{:.4f}", result.accuracy)},
                  {"nats", fmt::format("{:.5f}", result.loss)}};
  if (longer_) results.emplace_back("longer", fmt::format("{:.4f}", evaluate(*longer_, part).accuracy));
  return results;
}

std::string SequenceTask::signature(const std::string& part) const {
  const TaskOptions& options = experiment_.task;
  std::string line = fmt::format("{} part of {}", part, options.name);
  if (options.name != "parity") line += fmt::format(", N {}", options.sequence.symbols);
  if (options.name == "nt") line += fmt::format(", τ {}", options.sequence.delay);
  line += fmt::format(", n {}", options.sequence.size);
  if (longer_) line += fmt::format(", longer {}", options.longer);
  return line + fmt::format(", {} sequences in batches of {}", options.evaluated, experiment_.train.batch);
}

std::string SequenceTask::summary() const {
  return fmt::format("{} tokens in the vocabulary, sequences of {}", sequences_.vocabulary(), sequences_.length());
}

}  // namespace tapir
