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

void SequenceOptions::fields(nn::FieldVisitor& visit) {
  const std::string& name = sequence.task;
  if (name != "parity") visit("symbols", sequence.symbols, "N, how many symbols there are", nn::between(2, 1 << 20));
  if (name == "nt") visit("delay", sequence.delay, "τ, tokens from the older summand to the sum", nn::between(1, 1 << 20));
  visit("size", sequence.size, "n, of training sequences: tokens; of recall: pairs; of copy: symbols",
        nn::between(1, 1 << 20));
  visit("longer", longer, "a second size to evaluate at, as a test of extrapolation; 0: none", nn::between(0, 1 << 20));
  visit("evaluated", evaluated, "sequences of an evaluation, in whole batches", nn::between(1, 1e9));
}

SequenceTask::SequenceTask(Experiment& experiment)
    : TokenTask(experiment),
      options_(dynamic_cast<const SequenceOptions&>(*experiment.task.own)),
      sequences_(options_.sequence) {
  if (options_.longer > 0) longer_.emplace(with_size(options_.sequence, options_.longer));
  const int64_t longest = std::max(sequences_.length(), longer_ ? longer_->length() : 0);
  require(longest <= context(), experiment.task.name,
          [&] { return text("sequences of ", longest, " tokens exceed model.context = ", context()); });
  make_model({.takes = Takes::tokens, .gives = Gives::next_token, .vocabulary = sequences_.vocabulary()});
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
    logits(batch, call);
    std::vector<std::string> tokens;
    for (const int32_t id : batch.inputs) tokens.push_back(std::to_string(id));
    return tokens;
  };
  TrainTask task{model(), loss, evaluate, experiment_.identity(), {"validation_accuracy", true}, show};
  task.first_samples = [this](const nn::Call& call) { logits(sequences_.batch("valid", 0, 0, logged_samples()), call); };
  return task;
}

SequenceTask::Result SequenceTask::evaluate(const Sequences& sequences, const std::string& part) {
  const NoGrad guard;
  const int64_t rows = experiment_.train.batch, batches = (options_.evaluated + rows - 1) / rows;
  const auto vocabulary = static_cast<int64_t>(sequences.vocabulary());
  Result result;
  int64_t right = 0;
  for (int64_t k = 0; k < batches; ++k) {
    const TokenBatch batch = sequences.batch(part, 0, k, rows);
    const Tensor all = logits(batch);
    result.loss += cross_entropy(all, Tensor::from(batch.targets, {batch.rows, batch.columns}, experiment_.device())).item();
    const std::vector<double> values = all.to(DType::f64).values<double>();
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

Task::Evaluation SequenceTask::evaluate_part(const std::string& part) {
  const Result result = evaluate(sequences_, part);
  Results results{{"judged", fmt::format("{}", result.judged)},
                  {"accuracy", fmt::format("{:.4f}", result.accuracy)},
                  {"nats", fmt::format("{:.5f}", result.loss)}};
  if (longer_) results.emplace_back("longer", fmt::format("{:.4f}", evaluate(*longer_, part).accuracy));
  return {std::move(results)};
}

Task::Results SequenceTask::comparable(const std::string&) const {
  const std::string& name = options_.sequence.task;
  Results all;
  const auto add = [&](const char* what, int64_t value) { all.emplace_back(what, fmt::format("{}", value)); };
  if (name != "parity") add("symbols", options_.sequence.symbols);
  if (name == "nt") add("delay", options_.sequence.delay);
  add("size", options_.sequence.size);
  if (longer_) add("longer", options_.longer);
  add("evaluated", options_.evaluated);
  add("batch", experiment_.train.batch);
  return all;
}

std::pair<Batch, int64_t> SequenceTask::sample() const {
  return {tokens_of(sequences_.length()), sequences_.length()};
}

std::string SequenceTask::summary() const {
  return fmt::format("{} tokens in the vocabulary, sequences of {}", sequences_.vocabulary(), sequences_.length());
}

TaskRow sequence_row(const std::string& name) {
  return {.name = name,
          .title = "a generated sequence task (datasets/synthetic/sequences.h)",
          .options =
              [name] {
                auto options = std::make_unique<SequenceOptions>();
                options->sequence.task = name;
                return options;
              },
          .make = [](Experiment& experiment, const std::filesystem::path&) -> std::unique_ptr<Task> {
            return std::make_unique<SequenceTask>(experiment);
          }};
}

}  // namespace tapir
