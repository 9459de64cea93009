// Tokenizers: text to ids and back.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/text/vocabulary.h"

namespace tapir {

// Where a text came from, for errors: line 1 of the text is line `first_line` of `name`.
struct Origin {
  std::string name = "text";
  int64_t first_line = 1;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string_view kind() const = 0;  // "word", "character", "bpe" or "wordpiece"

  // Linear in text.size(). A type that the vocabulary lacks becomes the unknown type; where there is none: Error with the
  // type, the file and the line.
  virtual std::vector<int32_t> encode(std::string_view text, const Origin& origin = {}) const = 0;

  // Error: an id outside [0, size()).
  virtual std::string decode(std::span<const int32_t> ids) const = 0;

  // What decode(encode(text)) is where the vocabulary has all types of `text`, which must be UTF-8.
  virtual std::string decodable(std::string_view text) const { return std::string(text); }

  int64_t size() const { return vocabulary_.size(); }
  const Vocabulary& vocabulary() const { return vocabulary_; }

  // SHA-256 of the kind and the entries in order: equal digests encode every text alike.
  std::string digest() const;

 protected:
  explicit Tokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

  // The id of `type`. `line` (0-based) is where it stands in the text of `origin`.
  int32_t id_of(std::string_view type, const Origin& origin, int64_t line) const;

 private:
  Vocabulary vocabulary_;
};

// Words are what ASCII white space separates; <eos> stands for the end of a line, of an empty one too. The unknown word is
// <unk>. decode writes one space between words and "\n" for <eos>: decode(encode(text)) is text up to its spaces. Source:
// word_language_model of pytorch/examples (there a last line without "\n" ends with <eos> too; text that comes from
// read_corpus always ends with "\n").
class WordTokenizer final : public Tokenizer {
 public:
  // The words of the training text, <eos> included; max_types as in TypeCounter::types, which keeps <eos> too.
  static WordTokenizer from_text(std::string_view training_text, int64_t max_types = 0);

  // Error: an entry has white space or is not UTF-8; <eos> is not an entry; what Vocabulary refuses.
  explicit WordTokenizer(std::vector<std::string> entries);

  std::string_view kind() const override { return "word"; }
  std::vector<int32_t> encode(std::string_view text, const Origin& origin = {}) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  std::string decodable(std::string_view text) const override;
};

// Characters are Unicode code points, the line end among them. The unknown one is U+FFFD, the replacement character.
// decode(encode(text)) is text, but for characters that became U+FFFD.
class CharacterTokenizer final : public Tokenizer {
 public:
  // The characters of the training text; max_types as in TypeCounter::types. Error: not UTF-8.
  static CharacterTokenizer from_text(std::string_view training_text, int64_t max_types = 0);

  // Error: an entry is not exactly one UTF-8 character; what Vocabulary refuses.
  explicit CharacterTokenizer(std::vector<std::string> entries);

  std::string_view kind() const override { return "character"; }
  std::vector<int32_t> encode(std::string_view text, const Origin& origin = {}) const override;  // Error: not UTF-8
  std::string decode(std::span<const int32_t> ids) const override;
};

// Number of tokens that a WordTokenizer makes of a text.
int64_t count_word_tokens(std::string_view text);

// kind = "word" | "character" | "bpe" | "wordpiece" (both trained, max_types entries; datasets/text/bpe.h, wordpiece.h) |
// "gpt2" (from data_root()/gpt2-bpe). Error: another kind; "bpe" or "wordpiece" without max_types, "gpt2" with it.
std::shared_ptr<const Tokenizer> tokenizer_from_text(std::string_view kind, std::string_view training_text,
                                                     int64_t max_types);

// A tokenizer's file in a run folder: JSON {"tokens": kind, "entries": [...], "sha256": digest}.
// tokenizer_text: what is in it. load_tokenizer: errors name the file: what read_text_file refuses; not JSON; another key or
// type; entries that the tokenizer refuses; a digest that does not belong to them.
std::string tokenizer_text(const Tokenizer& tokenizer);
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& file);

}  // namespace tapir
