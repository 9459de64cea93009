#include "attention/reproduce/tasks/tokens.h"

#include <span>

#include "autograd/ops/cross_entropy.h"

namespace tapir {

Tensor TokenTask::logits(const TokenBatch& batch, const nn::Call& call) const {
  return forward({{"tokens", Tensor::from(batch.inputs, {batch.rows, batch.columns}, experiment_.device())}}, call);
}

Batch TokenTask::tokens_of(int64_t length) const {
  return {{"tokens", Tensor::from(std::vector<int32_t>(length, 0), {1, length}, experiment_.device())}};
}

int64_t TokenTask::context() const {
  const ModelRow& row = model_row(experiment_.model.name);
  require(row.length != nullptr, experiment_.task.name, [&] { return text("the model '", row.name, "' takes no tokens"); });
  return row.length(*experiment_.model.own);
}

LossSum TokenTask::loss(const TokenBatch& batch, int64_t part, int64_t parts, const nn::Call& call) const {
  const int64_t rows = batch.rows / parts, begin = part * rows * batch.columns;
  const std::span inputs(batch.inputs.data() + begin, rows * batch.columns),
      targets(batch.targets.data() + begin, rows * batch.columns);
  const Shape shape{rows, batch.columns};
  const Tensor logits = forward({{"tokens", Tensor::from<int32_t>(inputs, shape, experiment_.device())}}, call);
  return {cross_entropy(logits, Tensor::from<int32_t>(targets, shape, experiment_.device())), count_targets(targets),
          count_targets(batch.targets)};
}

}  // namespace tapir
