#include "attention/reproduce/tasks/language.h"

#include <fmt/core.h>

#include <cmath>
#include <numbers>
#include <span>

#include "autograd/node.h"
#include "nn/files/atomic_file.h"
#include "nn/train/finite.h"
#include "tensor/sha256.h"

namespace tapir {

void DataOptions::fields(nn::FieldVisitor& visit) {
  std::string path = spec.path.string();
  visit("kind", spec.kind, "the corpus", {"wikitext-2", "wikitext-103", "tinyshakespeare", "file", "generated"});
  visit("path", path, "of the kind \"file\": a text file, or a folder with train.txt, valid.txt, test.txt", {});
  visit("tokens", spec.tokens, "what a token is", {"word", "character", "bpe", "gpt2", "wordpiece"});
  visit("order", order, "of training windows: drawn anew from the seed for each epoch, or one after the other in B streams",
        {"shuffled", "contiguous"});
  visit("max_types", spec.max_types,
        "size of the vocabulary, the most frequent types stay; 0: all; needed for bpe and wordpiece", nn::between(0, 1e9));
  visit("train_tokens", spec.limits.train, "tokens of the training part that are used; 0: all", nn::between(0, 1e12));
  visit("valid_tokens", spec.limits.valid, "of the validation part", nn::between(0, 1e12));
  visit("test_tokens", spec.limits.test, "of the test part", nn::between(0, 1e12));
  spec.path = path;
}

LanguageTask::LanguageTask(Experiment& experiment, std::shared_ptr<const Tokenizer> tokenizer, bool with_weights)
    : TokenTask(experiment), context_(context()), tokenizer_(tokenizer) {
  if (!tokenizer_) tokenizer_ = corpus().tokenizer;
  make_model({.takes = Takes::tokens, .gives = Gives::next_token, .vocabulary = tokenizer_->size()});
  if (with_weights) initialise(!tokenizer);
}

const DataOptions& LanguageTask::data() const { return dynamic_cast<const DataOptions&>(*experiment_.task.data); }

const TextCorpus& LanguageTask::corpus() const {
  if (corpus_) return *corpus_;
  const CorpusSpec& spec = data().spec;
  std::error_code error;
  require(!tokenizer_ || spec.kind != "file" || std::filesystem::exists(spec.path, error), "config: data.path",
          [&] { return text("there is no ", spec.path.string(), ", the text that the run needs"); },
          "`tapir eval --data PATH` and `tapir train --resume RUN --set data.path=PATH` find it elsewhere");
  return corpus_.emplace(read_corpus(spec, tokenizer_));
}

const LanguageTask::Windows& LanguageTask::training() const {
  if (training_) return *training_;
  const auto take = [&](auto batches) -> const Windows& {
    const int64_t epoch = batches.batches_per_epoch();
    return training_.emplace(Windows{[batches = std::move(batches)](int64_t k) { return batches.batch(k); }, epoch});
  };
  const int64_t rows = experiment_.train.batch;
  if (data().order == "contiguous") return take(ContiguousBatches(corpus().train, rows, context_));
  return take(ShuffledBatches(corpus().train, rows, context_, static_cast<uint64_t>(experiment_.run.seed)));
}

const TextMeasure& LanguageTask::text_of(const std::string& part) const {
  return part == "test" ? corpus().test_text : corpus().valid_text;
}

const std::vector<int32_t>& LanguageTask::ids(const std::string& part) const {
  require(part != "test" || !corpus().test.empty(), "data", [&] { return text(data().spec.kind, " has no test part"); },
          "it is judged by its part \"valid\"");
  return part == "train" ? corpus().train : part == "valid" ? corpus().valid : corpus().test;
}

Task::Digests LanguageTask::digests(const std::vector<std::string>& parts) const {
  Digests digests{{"tokenizer", tokenizer().digest()}};
  for (const std::string& part : parts)
    if (part != "test" || !corpus().test.empty())
      digests.emplace_back(part, sha256_hex(std::as_bytes(std::span(ids(part)))));
  return digests;
}

const nn::LanguageModel& LanguageTask::language_model() {
  const auto* const own = dynamic_cast<const nn::LanguageModel*>(&model());
  require(own, "generate", [&] { return text("the model '", experiment_.model.name, "' does not go on token by token"); });
  return *own;
}

TrainTask LanguageTask::train_task() {
  const auto loss = [this, &windows = training()](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    return this->loss(windows.batch(step), part, parts, call);
  };
  const TokenBatch first = EvaluationBatches(corpus().valid, experiment_.train.batch, context_).batch(0);
  const auto evaluate = [this](const nn::Call&) {
    const Result result = this->evaluate(corpus().valid);
    Metrics metrics{{"validation_loss", result.nll}, {"validation_perplexity", result.perplexity()}};
    if (corpus().valid_text.lossless)
      metrics.insert(metrics.end(), {{"validation_perplexity_per_word", perplexity_per_word(result.nll, "valid")},
                                     {"validation_bits_per_byte", bits_per_byte(result.nll, "valid")}});
    return metrics;
  };
  const auto show = [this, first](const nn::Call& call) {
    const NoGrad guard;
    const int64_t length = count_targets(std::span(first.targets).first(first.columns));   // of row 0 without padding
    const std::vector<int32_t> ids(first.inputs.begin(), first.inputs.begin() + length);
    logits({1, length, ids, {}}, call);
    std::vector<std::string> tokens;
    for (const int32_t id : ids) tokens.push_back(tokenizer().vocabulary().entry(id));
    return tokens;
  };
  TrainTask task{model(), loss, evaluate, experiment_.identity(), {}, show};
  task.first_samples = [this, first](const nn::Call& call) { logits(first, call); };
  return task;
}

LanguageTask::Result LanguageTask::evaluate(const std::vector<int32_t>& ids) {
  const NoGrad guard;
  const EvaluationBatches batches(ids, experiment_.train.batch, context_);
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

double LanguageTask::bits_per_byte(double nll, const std::string& part) const {
  return nll * static_cast<double>(ids(part).size()) / (std::numbers::ln2 * static_cast<double>(text_of(part).bytes));
}

double LanguageTask::perplexity_per_word(double nll, const std::string& part) const {
  return std::exp(nll * static_cast<double>(ids(part).size()) / static_cast<double>(text_of(part).words));
}

Task::Evaluation LanguageTask::evaluate_part(const std::string& part) {
  const Result result = evaluate(ids(part));
  const bool lossless = text_of(part).lossless;   // else what is unknown would cost nothing
  return {{{"tokens", fmt::format("{}", result.tokens)},
           {"perplexity", fmt::format("{:.3f}", result.perplexity())},
           {"nats", fmt::format("{:.5f}", result.nll)},
           {"per word", lossless ? fmt::format("{:.2f}", perplexity_per_word(result.nll, part)) : "lossy"},
           {"bits/byte", lossless ? fmt::format("{:.5f}", bits_per_byte(result.nll, part)) : "lossy"}}};
}

Task::Results LanguageTask::comparable(const std::string& part) const {
  const TextMeasure& own = text_of(part);
  return {{"data", data().spec.kind},
          {"text", "sha256 " + own.sha256.substr(0, 12)},
          {"bytes", fmt::format("{}", own.bytes)},
          {"tokens", fmt::format("{}", ids(part).size())},
          {"tokenizer", fmt::format("{} {} {}", tokenizer().kind(), tokenizer().size(), tokenizer().digest().substr(0, 12))},
          {"lossless", own.lossless ? "yes" : "no"},
          {"context", fmt::format("{}", context_)},
          {"streams", fmt::format("{}", experiment_.train.batch)}};
}

std::string LanguageTask::all(const std::string& part) const {
  const int64_t whole = text_of(part).whole;
  return whole > static_cast<int64_t>(ids(part).size()) ? text(whole, " tokens") : "";
}

std::optional<Task::Wider> LanguageTask::wider() const {
  const TextMeasure& own = corpus().valid_text;
  if (!own.lossless) return {};
  const double bytes = static_cast<double>(own.bytes) / static_cast<double>(corpus().valid.size());   // of a token
  Results conditions{{"task", experiment_.task.name},
                     {"part", "valid"},
                     {"data", data().spec.kind},
                     {"text", "sha256 " + own.sha256.substr(0, 12)},
                     {"decoded", "sha256 " + own.decoded_sha256.substr(0, 12)},   // a code that loses less has more to say
                     {"trained on", "sha256 " + corpus().train_sha256.substr(0, 12)},
                     {"context in bytes", fmt::format("≈ {:.0f}", bytes * static_cast<double>(context_))},
                     {"per", "byte"}};
  Wider byte;
  byte.objective.metric = "validation_bits_per_byte";
  byte.conditions = std::move(conditions);
  return byte;
}

std::string LanguageTask::drawn() const { return data().order == "shuffled" ? "order of windows" : ""; }

std::pair<Batch, int64_t> LanguageTask::sample() const {
  return {tokens_of(context_), context_};
}

std::string LanguageTask::summary() const {
  return fmt::format("{} tokens in the vocabulary, {} steps an epoch", tokenizer().size(), training().epoch);
}

void LanguageTask::save(const std::filesystem::path& folder) const {
  write_atomically(folder / tokenizer_file, tokenizer_text(tokenizer()));
}

TaskRow language_row() {
  return {.name = "language",
          .title = "the next token of the text of [data]",
          .options = [] { return std::make_unique<nn::Options>(); },
          .data = [] { return std::make_unique<DataOptions>(); },
          .own_data = [](const auto&, const auto&) { return std::vector<std::string>{"data.kind=file"}; },
          .make = [](Experiment& experiment, const std::filesystem::path& trained) -> std::unique_ptr<Task> {
            return std::make_unique<LanguageTask>(
                experiment, trained.empty() ? nullptr : load_tokenizer(trained / tokenizer_file), false);
          }};
}

}  // namespace tapir
