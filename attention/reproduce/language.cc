#include "attention/reproduce/language.h"

#include <cmath>
#include <span>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "nn/train/weights.h"

namespace tapir {
namespace {

int64_t count_targets(std::span<const int32_t> targets) {
  return std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target != ignored_target; });
}

}  // namespace

LanguageTask::LanguageTask(Experiment& experiment, std::shared_ptr<const Tokenizer> tokenizer)
    : experiment_(experiment), corpus_(read_corpus(experiment.data.spec, tokenizer)),
      training_(corpus_.train, experiment.train.batch, experiment.model.context) {
  experiment.model.vocabulary = corpus_.tokenizer->size();
  const Mechanism& row = mechanism(experiment.attention.mechanism);
  model_ = std::make_unique<nn::LanguageModel>(experiment.model, [&](int64_t layer) {
    const nn::TransformerOptions& model = experiment.model;
    return row.make(*experiment.attention.own,
                    {.width = model.width, .heads = model.heads, .layer = layer, .key_heads = model.key_heads});
  });
  const Device device = experiment.run.device == "cuda" ? Device::cuda : Device::cpu;
  model_->initialise(static_cast<uint64_t>(experiment.run.seed), experiment.dtype(), device);
  if (!tokenizer && !experiment.run.initial.empty()) load_weights(experiment.run.initial, *model_);
}

Tensor LanguageTask::forward_loss(const Tensor& inputs, const Tensor& targets, const nn::Call& call) {
  return cross_entropy(model_->forward(inputs, call), targets);
}

TrainTask LanguageTask::train_task() {
  const auto loss = [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const TokenBatch batch = training_.batch(step);
    const int64_t rows = batch.rows / parts, begin = part * rows * batch.columns;
    const std::span inputs(batch.inputs.data() + begin, rows * batch.columns),
        targets(batch.targets.data() + begin, rows * batch.columns);
    const Shape shape{rows, batch.columns};
    return LossSum{forward_loss(Tensor::from<int32_t>(inputs, shape), Tensor::from<int32_t>(targets, shape), call),
                   count_targets(targets)};
  };
  const TokenBatch first = EvaluationBatches(corpus_.valid, experiment_.train.batch, experiment_.model.context).batch(0);
  const auto evaluate = [this, first](const nn::Call&) {
    const Result result = this->evaluate(corpus_.valid);
    Metrics metrics{{"validation_loss", result.nll}, {"validation_perplexity", result.perplexity()}};
    for (const auto& gate : gates(first)) metrics.push_back(gate);
    return metrics;
  };
  return {*model_, loss, evaluate, experiment_.identity()};
}

LanguageTask::Result LanguageTask::evaluate(const std::vector<int32_t>& ids) {
  const NoGrad guard;
  const EvaluationBatches batches(ids, experiment_.train.batch, experiment_.model.context);
  Result result;
  for (int64_t k = 0; k < batches.size(); ++k) {
    const TokenBatch batch = batches.batch(k);
    const Shape shape{batch.rows, batch.columns};
    result.nll += forward_loss(Tensor::from(batch.inputs, shape), Tensor::from(batch.targets, shape), {}).item();
    result.tokens += count_targets(batch.targets);
  }
  result.nll /= static_cast<double>(result.tokens);
  return result;
}

double LanguageTask::Result::perplexity() const { return std::exp(nll); }

Metrics LanguageTask::gates(const TokenBatch& batch) {
  const NoGrad guard;
  Metrics gates;
  nn::Call call;
  call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
    if (name == "gate") gates.emplace_back(path + ".gate", value.item());
  };
  model_->forward(Tensor::from(batch.inputs, {batch.rows, batch.columns}), call);
  return gates;
}

}  // namespace tapir
