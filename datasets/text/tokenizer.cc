#include "datasets/text/tokenizer.h"

#include <algorithm>

#include "datasets/location.h"
#include "datasets/text/bpe.h"
#include "datasets/text/utf8.h"
#include "datasets/text/wordpiece.h"
#include "tensor/error.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

constexpr std::string_view end_of_line = "<eos>";
constexpr std::string_view unknown_word = "<unk>";
constexpr std::string_view unknown_character = "\uFFFD";

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Calls visit(token, line) for each word and each line end of `text`.
template <class Visit>
void for_each_word(std::string_view text, Visit&& visit) {
  int64_t line = 0;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\n') visit(end_of_line, line++);
    size_t end = i;
    while (end < text.size() && !is_space(text[end])) ++end;
    if (end > i) visit(text.substr(i, end - i), line);
    i = std::max(end, i + 1);
  }
}

// Calls visit(character, line) for each code point of `text`.
template <class Visit>
void for_each_character(std::string_view text, const Origin& origin, Visit&& visit) {
  int64_t line = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    require(length > 0, origin.name, [&] {
      return tapir::text("line ", origin.first_line + line, ": expected UTF-8 text, found byte ", shown_byte(text[i]));
    });
    visit(text.substr(i, length), line);
    if (text[i] == '\n') ++line;
    i += length;
  }
}

}  // namespace

std::string Tokenizer::digest() const {
  Sha256 sha;
  constexpr std::string_view separator("\0", 1);  // no entry has a NUL
  sha.update(kind());
  sha.update(separator);
  for (const std::string& entry : vocabulary_.entries()) {
    sha.update(entry);
    sha.update(separator);
  }
  return sha.hex();
}

int32_t Tokenizer::id_of(std::string_view type, const Origin& origin, int64_t line) const {
  const auto id = vocabulary_.id(type);
  if (!id) {
    throw Error(
        origin.name,
        text("line ", origin.first_line + line, ": the ", kind(), " ", shown(type), " is not in the training text"),
        text("max_types below ", size(), " makes one unknown ", kind(), " of the rarest and of all others"));
  }
  return *id;
}

WordTokenizer WordTokenizer::from_text(std::string_view training_text, int64_t max_types) {
  TypeCounter counter;
  for_each_word(training_text, [&](std::string_view word, int64_t) { counter.add(word); });
  return WordTokenizer(counter.types(unknown_word, {end_of_line}, max_types));
}

WordTokenizer::WordTokenizer(std::vector<std::string> entries) : Tokenizer(Vocabulary(std::move(entries), unknown_word)) {
  const auto& words = vocabulary().entries();
  for (size_t id = 0; id < words.size(); ++id) {
    require(std::none_of(words[id].begin(), words[id].end(), is_space), "word vocabulary",
            [&] { return text("entry ", id, " has white space: ", shown(words[id])); });
    require(!first_invalid_utf8(words[id]), "word vocabulary",
            [&] { return text("entry ", id, " is not UTF-8: ", shown(words[id])); });
  }
  require(std::find(words.begin(), words.end(), end_of_line) != words.end(), "word vocabulary",
          [] { return text("expected an entry ", end_of_line, " for the end of a line, found none"); });
}

std::vector<int32_t> WordTokenizer::encode(std::string_view text, const Origin& origin) const {
  std::vector<int32_t> ids;
  for_each_word(text, [&](std::string_view word, int64_t line) { ids.push_back(id_of(word, origin, line)); });
  return ids;
}

std::string WordTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) {
    const std::string& word = vocabulary().entry(id);
    if (word == end_of_line) {
      text += '\n';
    } else {
      if (!text.empty() && text.back() != '\n') text += ' ';
      text += word;
    }
  }
  return text;
}

std::string WordTokenizer::decodable(std::string_view text) const {
  const WordTokenizer all = from_text(text);
  return all.decode(all.encode(text));
}

CharacterTokenizer CharacterTokenizer::from_text(std::string_view training_text, int64_t max_types) {
  TypeCounter counter;
  for_each_character(training_text, {}, [&](std::string_view character, int64_t) { counter.add(character); });
  return CharacterTokenizer(counter.types(unknown_character, {}, max_types));
}

CharacterTokenizer::CharacterTokenizer(std::vector<std::string> entries)
    : Tokenizer(Vocabulary(std::move(entries), unknown_character)) {
  const auto& characters = vocabulary().entries();
  for (size_t id = 0; id < characters.size(); ++id) {
    require(utf8_length(characters[id], 0) == characters[id].size(), "character vocabulary",
            [&] { return text("entry ", id, " is not one character: ", shown(characters[id])); });
  }
}

std::vector<int32_t> CharacterTokenizer::encode(std::string_view text, const Origin& origin) const {
  std::vector<int32_t> ids;
  for_each_character(text, origin,
                     [&](std::string_view character, int64_t line) { ids.push_back(id_of(character, origin, line)); });
  return ids;
}

std::string CharacterTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) text += vocabulary().entry(id);
  return text;
}

int64_t count_word_tokens(std::string_view text) {
  int64_t count = 0;
  for_each_word(text, [&](std::string_view, int64_t) { ++count; });
  return count;
}

std::shared_ptr<const Tokenizer> tokenizer_from_text(std::string_view kind, std::string_view training_text,
                                                     int64_t max_types) {
  if (kind == "word") return std::make_shared<WordTokenizer>(WordTokenizer::from_text(training_text, max_types));
  if (kind == "character")
    return std::make_shared<CharacterTokenizer>(CharacterTokenizer::from_text(training_text, max_types));
  if (kind == "bpe" || kind == "wordpiece") {
    require(max_types > 0, "tokenizer",
            [&] { return text("the kind ", shown(kind), " needs max_types, the size of its vocabulary"); });
    if (kind == "bpe") return std::make_shared<BpeTokenizer>(train_bpe(training_text, max_types));
    return std::make_shared<WordPieceTokenizer>(train_wordpiece(training_text, max_types));
  }
  if (kind == "gpt2") {
    require(max_types == 0, "tokenizer",
            [&] { return text("the vocabulary of \"gpt2\" is fixed: expected max_types = 0, found ", max_types); });
    return std::make_shared<BpeTokenizer>(read_gpt2_tokenizer(data_root() / "gpt2-bpe"));
  }
  throw Error("tokenizer",
              text("expected tokens = \"word\", \"character\", \"bpe\", \"gpt2\" or \"wordpiece\", found ", shown(kind)));
}

}  // namespace tapir
