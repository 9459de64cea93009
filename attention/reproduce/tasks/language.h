// Language modelling: the next token of a text.
#pragma once
#include <memory>
#include <string>

#include "attention/reproduce/tasks/tokens.h"
#include "attention/reproduce/tasks/task_row.h"
#include "datasets/text/corpus.h"
#include "nn/models/transformer.h"

namespace tapir {

struct DataOptions : nn::Options {   // [data]
  CorpusSpec spec;

  void fields(nn::FieldVisitor& visit) override;
};

class LanguageTask final : public TokenTask {
 public:
  // Reads the corpus and makes the model, with its initial weights or without them yet. `tokenizer`: the one a trained model
  // was made with; the file of initial weights is not read then, as the trained ones will replace them.
  explicit LanguageTask(Experiment& experiment, std::shared_ptr<const Tokenizer> tokenizer = nullptr,
                        bool with_weights = true);

  // Refers to this object. Throws Error when the validation part is too short for one batch.
  TrainTask train_task() override;
  Results evaluate_part(const std::string& part) override;
  std::string signature(const std::string& part) const override;
  std::pair<Batch, int64_t> sample() const override;
  std::string summary() const override;
  void save(const std::filesystem::path& folder) const override;

  const Tokenizer& tokenizer() const { return *corpus_.tokenizer; }
  const TextCorpus& corpus() const { return corpus_; }
  // Loss over a part of the corpus, every token but the first of each of `batch` parallel streams counted once, each window
  // of `context` tokens predicted from its own beginning on. Throws NotFinite where loss or perplexity are.
  struct Result {
    double nll = 0;          // mean, nats per token
    int64_t tokens = 0;      // counted
    double perplexity() const;
  };
  Result evaluate(const std::vector<int32_t>& ids);

  const nn::LanguageModel& language_model();   // throws Error where the model is another one

 private:
  const CorpusSpec& corpus_spec() const;

  Metrics gates(const TokenBatch& batch);    // active share of each score network's gate

  const int64_t context_;   // tokens of a window
  TextCorpus corpus_;
  ContiguousBatches training_;
};

TaskRow language_row();

inline constexpr const char* tokenizer_file = "tokenizer.json";   // in a run folder

}  // namespace tapir
