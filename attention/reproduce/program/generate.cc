// tapir generate
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/tasks/language.h"
#include "autograd/node.h"
#include "autograd/ops/shape.h"
#include "nn/train/finite.h"
#include "nn/train/progress.h"

namespace tapir {
namespace {

using Ids = std::vector<int32_t>;

// The text of ids as it grows, up to `stop`.
class GrowingText {
 public:
  GrowingText(const Tokenizer& tokenizer, Ids prompt, std::string stop)
      : tokenizer_(tokenizer),
        ids_(std::move(prompt)),
        decoded_(tokenizer.decode(ids_)),
        text_(decoded_),
        searched_(text_.size()),
        stop_(std::move(stop)) {}

  void add(int32_t id) {
    ids_.push_back(id);
    if (ended_) return;
    const std::string now = tokenizer_.decode(std::span(ids_).subspan(begin_));
    if (now.ends_with("\uFFFD")) return;   // perhaps a character of several tokens, which is not complete
    take(now);
    if (ids_.size() - begin_ > 64) {        // a token's text depends on few before it
      begin_ = ids_.size() - 8;
      decoded_ = tokenizer_.decode(std::span(ids_).subspan(begin_));
    }
  }

  void finish() {
    if (!ended_) take(tokenizer_.decode(std::span(ids_).subspan(begin_)));
  }

  bool ended() const { return ended_; }   // by `stop`, which is not part of the text
  const Ids& ids() const { return ids_; }
  const std::string& text() const { return text_; }

  // How much of the text will stay whatever comes: `stop` may have begun at its end.
  size_t certain() const {
    if (ended_) return text_.size();
    for (size_t length = std::min(stop_.size(), text_.size() - searched_); length > 0; --length)
      if (text_.ends_with(stop_.substr(0, length))) return text_.size() - length;
    return text_.size();
  }

 private:
  void take(const std::string& now) {
    const size_t begin = std::max(searched_, text_.size() - std::min(text_.size(), stop_.size()));
    text_ += now.substr(decoded_.size());
    decoded_ = now;
    const size_t found = stop_.empty() ? text_.npos : text_.find(stop_, begin);
    if (found == text_.npos) return;
    text_.resize(found);
    ended_ = true;
  }

  const Tokenizer& tokenizer_;
  Ids ids_;
  size_t begin_ = 0;      // decoded_ is the text of the ids from here on
  std::string decoded_, text_;
  size_t searched_;       // where what was generated begins
  std::string stop_;
  bool ended_ = false;
};

// Logits of the next token of every sample, from what the model remembers.
class Decoding {
 public:
  explicit Decoding(const nn::LanguageModel& model) : model_(model), state_(model.state(1)) {}

  // After a prompt, which all samples share. Of one that is longer than the context only the end counts.
  Tensor begin(const Ids& prompt, int64_t samples) {
    const Tensor logits = read({prompt}, model_.unlimited() ? prompt.size() : std::min(prompt.size(), context()));
    const std::vector<int64_t> copies(samples, 0);
    state_.reorder(copies);
    return expand(logits, {samples, logits.size(1)});
  }

  // After one more token of each text.
  Tensor next(const std::vector<GrowingText>& texts) {
    if (!model_.unlimited() && state_.lengths[0] == static_cast<int64_t>(context())) {
      if (!told_)
        note(fmt::format("generate: {} positions end at {} tokens; whenever that many are there, the last {} are read again",
                         model_.options.positions, context(), context() / 2 + 1));
      told_ = true;
      std::vector<Ids> ids;
      for (const GrowingText& one : texts) ids.push_back(one.ids());
      return read(ids, context() / 2 + 1);
    }
    Ids last;
    for (const GrowingText& one : texts) last.push_back(one.ids().back());
    return model_.step(Tensor::from(last, {static_cast<int64_t>(last.size()), 1}), state_);
  }

 private:
  size_t context() const { return static_cast<size_t>(model_.options.context); }

  // From the last `length` tokens of each, without what was remembered.
  Tensor read(const std::vector<Ids>& texts, size_t length) {
    Ids window;
    for (const Ids& ids : texts)
      window.insert(window.end(), ids.end() - static_cast<int64_t>(std::min(length, ids.size())), ids.end());
    const auto rows = static_cast<int64_t>(texts.size());
    state_ = model_.state(rows);
    return model_.step(Tensor::from(window, {rows, static_cast<int64_t>(window.size()) / rows}), state_);
  }

  const nn::LanguageModel& model_;
  nn::DecoderState state_;
  bool told_ = false;
};

Ids prompt_of(const Tokenizer& tokenizer, const std::string& prompt) {
  Ids ids = tokenizer.encode(prompt, {.name = "the prompt"});
  if (tokenizer.kind() == "word" && !ids.empty() &&
      !prompt.ends_with('\n')) {   // the tokenizer ended the line, the prompt did not
    const Ids line_end = tokenizer.encode("\n");
    if (ids.back() == line_end.front()) ids.pop_back();
  }
  return ids.empty() ? tokenizer.encode("\n") : ids;
}

}  // namespace

int run_generate(const GenerateCommand& command) {
  const DrawOptions& draws = command.draw;
  require(draws.temperature > 0 || (draws.top_k == 0 && draws.top_p == 1 && command.samples == 1 && !command.seed), "generate",
          [] { return "at --temperature 0 the likeliest token is taken, and --top-k, --top-p, --samples and --seed choose nothing"; },
          "leave them out, or give a temperature");
  const std::unique_ptr<OpenRun> run = open_run(command.run, command.device);
  const NoGrad guard;
  auto* const language = dynamic_cast<LanguageTask*>(run->task.get());
  require(language, "generate", [&] { return text(command.run.string(), " has learned the task '",
                                                  run->experiment.task.name, "', not a text"); });
  const Tokenizer& tokenizer = language->tokenizer();
  const Ids prompt = prompt_of(tokenizer, command.prompt);
  std::vector<GrowingText> texts(command.samples, GrowingText(tokenizer, prompt, command.stop));

  size_t shown = 0;   // of the text of a single sample, which appears as it is made
  const auto show = [&](bool all) {
    if (texts.size() > 1) return;
    const std::string& words = texts[0].text();
    const size_t end = all ? words.size() : texts[0].certain();
    fmt::print("{}", words.substr(shown, end - shown));
    std::fflush(stdout);
    shown = end;
  };

  Decoding decoding(language->language_model());
  const double start = steady_seconds();
  Tensor logits = decoding.begin(prompt, command.samples);
  const double read = steady_seconds();
  int64_t made = 0;
  const auto ended = [](const GrowingText& one) { return one.ended(); };
  for (int64_t k = 0; k < command.tokens && !std::all_of(texts.begin(), texts.end(), ended); ++k) {
    if (k > 0) logits = decoding.next(texts);
    require_finite("generate", text("logits for token ", k + 1), logits);
    const std::vector<double> all = logits.to(DType::f64).values<double>();
    for (size_t sample = 0; sample < texts.size(); ++sample) {
      const auto first = all.begin() + static_cast<int64_t>(sample) * tokenizer.size();
      const Philox4 bits = random_block(
          {.seed = command.seed.value_or(1), .step = static_cast<uint32_t>(sample), .site = site_of("generate")}, static_cast<uint64_t>(k));
      made += !texts[sample].ended();
      texts[sample].add(draw({first, first + tokenizer.size()}, command.draw, uniform(bits[0])));
    }
    show(false);
  }
  const double seconds = steady_seconds() - read;
  for (GrowingText& one : texts) one.finish();
  show(true);
  if (texts.size() == 1) fmt::print("\n");
  else
    for (size_t sample = 0; sample < texts.size(); ++sample) fmt::print("[{}] {}\n", sample + 1, texts[sample].text());
  flush_output();   // the note comes after the text, in whatever they are written to
  note(fmt::format("prompt: {} tokens in {:.2f} s; {} tokens in {:.2f} s, {:.0f} tokens/s", prompt.size(), read - start, made,
                   seconds, static_cast<double>(made) / std::max(seconds, 1e-9)));
  return 0;
}

}  // namespace tapir
