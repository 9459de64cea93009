#include "attention/reproduce/tasks/language.h"

#include <fmt/core.h>

#include <cmath>

#include "autograd/node.h"
#include "nn/files/atomic_file.h"
#include "nn/train/finite.h"

namespace tapir {

LanguageTask::LanguageTask(Experiment& experiment, std::shared_ptr<const Tokenizer> tokenizer, bool with_weights)
    : Task(experiment), corpus_(read_corpus(experiment.data.spec, tokenizer)),
      training_(corpus_.train, experiment.train.batch, experiment.model.context) {
  make_model(corpus_.tokenizer->size());
  if (with_weights) initialise(!tokenizer);
}

TrainTask LanguageTask::train_task() {
  const auto loss = [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    return this->loss(training_.batch(step), part, parts, call);
  };
  const TokenBatch first = EvaluationBatches(corpus_.valid, experiment_.train.batch, experiment_.model.context).batch(0);
  const auto evaluate = [this, first](const nn::Call&) {
    const Result result = this->evaluate(corpus_.valid);
    Metrics metrics{{"validation_loss", result.nll}, {"validation_perplexity", result.perplexity()}};
    for (const auto& gate : gates(first)) metrics.push_back(gate);
    return metrics;
  };
  const auto show = [this, first](const nn::Call& call) {
    const NoGrad guard;
    const int64_t length = count_targets(std::span(first.targets).first(first.columns));   // of row 0 without padding
    const std::vector<int32_t> ids(first.inputs.begin(), first.inputs.begin() + length);
    model().forward(Tensor::from(ids, {1, length}), call);
    std::vector<std::string> tokens;
    for (const int32_t id : ids) tokens.push_back(tokenizer().vocabulary().entry(id));
    return tokens;
  };
  return {model(), loss, evaluate, experiment_.identity(), {}, show};
}

LanguageTask::Result LanguageTask::evaluate(const std::vector<int32_t>& ids) {
  const NoGrad guard;
  const EvaluationBatches batches(ids, experiment_.train.batch, experiment_.model.context);
  Result result;
  for (int64_t k = 0; k < batches.size(); ++k) {
    const LossSum sum = loss(batches.batch(k));
    result.nll += sum.sum.item();
    result.tokens += sum.count;
  }
  result.nll /= static_cast<double>(result.tokens);
  require_finite("evaluate", "the loss", result.nll);
  require_finite("evaluate", text("the perplexity exp(", result.nll, ")"), result.perplexity());
  return result;
}

double LanguageTask::Result::perplexity() const { return std::exp(nll); }

Task::Results LanguageTask::evaluate_part(const std::string& part) {
  const Result result = evaluate(part == "test" ? corpus_.test : corpus_.valid);
  return {{"tokens", fmt::format("{}", result.tokens)},
          {"perplexity", fmt::format("{:.3f}", result.perplexity())},
          {"nats", fmt::format("{:.5f}", result.nll)}};
}

std::string LanguageTask::signature(const std::string& part) const {
  return fmt::format("{} part of {}, per {}, vocabulary {} ({}), context {}, {} streams, no overlap", part,
                     experiment_.data.spec.kind, tokenizer().kind(), tokenizer().size(), tokenizer().digest().substr(0, 12),
                     experiment_.model.context, experiment_.train.batch);
}

std::string LanguageTask::summary() const {
  return fmt::format("{} tokens in the vocabulary, {} steps an epoch", tokenizer().size(), training_.batches_per_epoch());
}

void LanguageTask::save(const std::filesystem::path& folder) const {
  write_atomically(folder / tokenizer_file, tokenizer_text(tokenizer()));
}

Metrics LanguageTask::gates(const TokenBatch& batch) {
  const NoGrad guard;
  Metrics gates;
  nn::Call call;
  call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
    if (name == "gate") gates.emplace_back(path + ".gate", value.item());
  };
  model().forward(Tensor::from(batch.inputs, {batch.rows, batch.columns}), call);
  return gates;
}

}  // namespace tapir
