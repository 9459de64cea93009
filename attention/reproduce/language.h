// Language modelling: the next token of a text. Joins a corpus, a LanguageModel with a mechanism of the zoo, and the loop.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "attention/reproduce/experiment.h"
#include "datasets/batches.h"

namespace tapir {

class LanguageTask {
 public:
  // Reads the corpus and makes the model with its initial weights. `tokenizer`: the one a trained model was made with; the
  // file of initial weights is not read then, as the trained ones will replace them.
  explicit LanguageTask(Experiment& experiment, std::shared_ptr<const Tokenizer> tokenizer = nullptr);

  // Refers to this object. Throws Error when the validation part is too short for one batch.
  TrainTask train_task();
  nn::LanguageModel& model() { return *model_; }
  const Tokenizer& tokenizer() const { return *corpus_.tokenizer; }
  int64_t steps_per_epoch() const { return training_.batches_per_epoch(); }

  // Loss over a part of the corpus, every token but the first of each of `batch` parallel streams counted once, each window
  // of `context` tokens predicted from its own beginning on.
  struct Result {
    double nll = 0;          // mean, nats per token
    int64_t tokens = 0;      // counted
    double perplexity() const;
  };
  Result evaluate(const std::vector<int32_t>& ids);

  const TextCorpus& corpus() const { return corpus_; }

 private:
  Tensor forward_loss(const Tensor& inputs, const Tensor& targets, const nn::Call& call);   // summed over counted targets
  Metrics gates(const TokenBatch& batch);    // active share of each score network's gate

  Experiment& experiment_;
  TextCorpus corpus_;
  ContiguousBatches training_;
  std::unique_ptr<nn::LanguageModel> model_;
};

}  // namespace tapir
