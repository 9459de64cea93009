// Language modelling: the next token of a text.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "attention/reproduce/tasks/tokens.h"
#include "attention/reproduce/tasks/task_row.h"
#include "datasets/text/corpus.h"
#include "nn/models/transformer.h"

namespace tapir {

struct DataOptions : nn::Options {   // [data]
  CorpusSpec spec;
  std::string order = "shuffled";

  void fields(nn::FieldVisitor& visit) override;
};

class LanguageTask final : public TokenTask {
 public:
  // Makes the model, with its initial weights or without them yet. `tokenizer`: the one a trained model was made with; then
  // the corpus is not read before something asks for it, and the file of initial weights not at all, as the trained ones will
  // replace them.
  explicit LanguageTask(Experiment& experiment, std::shared_ptr<const Tokenizer> tokenizer = nullptr,
                        bool with_weights = true);

  // Refers to this object. Throws Error when the validation part is too short for one batch.
  TrainTask train_task() override;
  Evaluation evaluate_part(const std::string& part) override;
  Results comparable(const std::string& part) const override;
  std::string all(const std::string& part) const override;
  std::string drawn() const override;
  std::optional<Wider> wider() const override;   // bits per byte, where no type became the unknown one
  std::pair<Batch, int64_t> sample() const override;
  std::string summary() const override;
  void save(const std::filesystem::path& folder) const override;
  Digests digests(const std::vector<std::string>& parts) const override;   // "tokenizer", and of the parts' ids

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const TextCorpus& corpus() const;   // throws what read_corpus throws
  // Loss over a part of the corpus, every token but the first of each of `batch` parallel streams counted once, each window
  // of `context` tokens predicted from its own beginning on. Throws NotFinite where loss or perplexity are.
  struct Result {
    double nll = 0;          // mean, nats per token
    int64_t tokens = 0;      // counted
    double perplexity() const;
  };
  Result evaluate(const std::vector<int32_t>& ids);
  // Of a mean nll: nats of the part / (ln 2 · bytes of its text), and exp(nats / words); the part's tokens at that mean.
  double bits_per_byte(double nll, const std::string& part) const;
  double perplexity_per_word(double nll, const std::string& part) const;

  const nn::LanguageModel& language_model();   // throws Error where the model is another one

 private:
  struct Windows {
    std::function<TokenBatch(int64_t k)> batch;
    int64_t epoch = 0;   // batches
  };

  const DataOptions& data() const;
  const Windows& training() const;
  const std::vector<int32_t>& ids(const std::string& part) const;
  const TextMeasure& text_of(const std::string& part) const;

  const int64_t context_;   // tokens of a window
  mutable std::optional<TextCorpus> corpus_;   // once something has asked for them
  mutable std::optional<Windows> training_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

TaskRow language_row();

inline constexpr const char* tokenizer_file = "tokenizer.json";   // in a run folder

}  // namespace tapir
