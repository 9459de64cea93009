#include "attention/reproduce/tasks/task.h"

#include <span>

#include "attention/reproduce/tasks/language.h"
#include "attention/reproduce/tasks/sequence.h"
#include "autograd/ops/cross_entropy.h"
#include "nn/train/weights.h"

namespace tapir {

void Task::make_model(int64_t vocabulary) {
  experiment_.model.vocabulary = vocabulary;
  const Mechanism& row = mechanism(experiment_.attention.mechanism);
  const nn::TransformerOptions& model = experiment_.model;
  model_ = std::make_unique<nn::LanguageModel>(model, [&](int64_t layer) {
    return row.make(*experiment_.attention.own,
                    {.width = model.width, .heads = model.heads, .layer = layer, .key_heads = model.key_heads});
  });
  set_default_device(experiment_.device());
  set_precision(experiment_.precision());
}

void Task::initialise(bool reads_initial) {
  model_->initialise(static_cast<uint64_t>(experiment_.run.seed), experiment_.dtype());
  if (reads_initial && !experiment_.run.initial.empty()) load_weights(experiment_.run.initial, *model_);
}

LossSum Task::loss(const TokenBatch& batch, int64_t part, int64_t parts, const nn::Call& call) const {
  const int64_t rows = batch.rows / parts, begin = part * rows * batch.columns;
  const std::span inputs(batch.inputs.data() + begin, rows * batch.columns),
      targets(batch.targets.data() + begin, rows * batch.columns);
  const Shape shape{rows, batch.columns};
  const Tensor logits = model_->forward(Tensor::from<int32_t>(inputs, shape), call);
  return {cross_entropy(logits, Tensor::from<int32_t>(targets, shape)), count_targets(targets)};
}

std::unique_ptr<Task> make_task(Experiment& experiment, const std::filesystem::path& trained,
                                const std::function<void(Task&)>& before) {
  std::unique_ptr<Task> task;
  if (experiment.task.name != "language")
    task = std::make_unique<SequenceTask>(experiment);
  else
    task = std::make_unique<LanguageTask>(experiment, trained.empty() ? nullptr : load_tokenizer(trained / tokenizer_file),
                                          false);
  if (before) before(*task);
  task->initialise(trained.empty());
  return task;
}

}  // namespace tapir
