// Tokenizers: hostile texts, hostile vocabularies, and their files.
#include <algorithm>

#include "datasets/text/bpe.h"
#include "datasets/text/tokenizer.h"
#include "datasets/text/utf8.h"
#include "datasets/text/wordpiece.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/targets.h"

namespace tapir::fuzz {
namespace {

void encode_and_decode(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = value_of("text", [&] { return tokenizer.encode(text); });
  if (!ids) return;
  for (const int32_t id : *ids) expect(id >= 0 && id < tokenizer.size(), "ids are those of entries");
  const std::string decoded = tokenizer.decode(*ids);
  if (tokenizer.kind() == "bpe") {
    expect(decoded == replace_invalid_utf8(text), "byte pairs lose nothing");
  } else {
    expect(tokenizer.encode(decoded) == *ids, "ids become text that becomes these ids");
  }
  if (tokenizer.kind() == "word")
    expect(count_word_tokens(text) == static_cast<int64_t>(ids->size()), "words are counted as they are encoded");
}

void save_and_load(const Tokenizer& tokenizer) {
  const auto loaded = load_tokenizer(write("saved.json", tokenizer_text(tokenizer)));
  expect(loaded->kind() == tokenizer.kind() && loaded->digest() == tokenizer.digest() &&
             loaded->vocabulary().entries() == tokenizer.vocabulary().entries(),
         "a saved tokenizer is loaded unchanged");
}

}  // namespace

// A training text, a zero byte, a text.
void tokens(std::string_view bytes) {
  const auto parts = pieces(bytes, 2);
  const auto check = [&](const char* kind, int64_t max_types) {
    const auto tokenizer = value_of("", [&] { return tokenizer_from_text(kind, parts[0], max_types); });
    if (tokenizer) encode_and_decode(**tokenizer, parts[1]);
  };
  for (const int64_t max_types : {0, 4}) check("word", max_types), check("character", max_types);
  for (const char* kind : {"bpe", "wordpiece"}) check(kind, 300);
}

// A text, a zero byte, and the lines of a vocabulary, which each kind takes for its own.
void entries(std::string_view bytes) {
  const auto parts = pieces(bytes, 2);
  std::vector<std::string> lines;
  for (size_t begin = 0, end; begin < parts[1].size(); begin = end + 1) {
    end = std::min(parts[1].find('\n', begin), parts[1].size());
    lines.push_back(parts[1].substr(begin, end - begin));
  }
  std::vector<std::string> pairs = byte_entries(), words{"<eos>"}, word_pieces{"[UNK]", "[SEP]"};
  pairs.insert(pairs.end(), lines.begin(), lines.end());
  words.insert(words.end(), lines.begin(), lines.end());
  word_pieces.insert(word_pieces.end(), lines.begin(), lines.end());
  const auto check = [&](const auto& make) {
    const auto tokenizer = value_of("", make);
    if (!tokenizer) return;
    save_and_load(*tokenizer);
    encode_and_decode(*tokenizer, parts[0]);
  };
  check([&] { return WordTokenizer(words); });
  check([&] { return CharacterTokenizer(lines); });
  check([&] { return BpeTokenizer(pairs); });
  check([&] { return WordPieceTokenizer(word_pieces); });
}

// tokenizer.json of a run folder.
void tokenizer_file(std::string_view bytes) {
  const std::filesystem::path file = write("tokenizer.json", bytes);
  const auto tokenizer = value_of(file.string(), [&] { return load_tokenizer(file); });
  if (tokenizer) save_and_load(**tokenizer);
}

// encoder.json, a zero byte, vocab.bpe.
void gpt2(std::string_view bytes) {
  const auto files = pieces(bytes, 2);
  write("encoder.json", files[0]);
  write("vocab.bpe", files[1]);
  const auto tokenizer = value_of(folder().string(), [] { return read_gpt2_tokenizer(folder()); });
  if (!tokenizer) return;
  save_and_load(*tokenizer);
  encode_and_decode(*tokenizer, bytes);
}

}  // namespace tapir::fuzz
