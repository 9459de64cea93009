#include <set>

#include "datasets/text/merges.h"
#include "datasets/text/utf8.h"
#include "datasets/text/wordpiece.h"
#include "tensor/error.h"

namespace tapir {
namespace {

// The tokens that a word starts as: its characters, all but the first with "##".
std::vector<std::string> characters_of(std::string_view word) {
  std::vector<std::string> characters;
  for (size_t at = 0, length; at < word.size(); at += length) {
    length = utf8_length(word, at);
    characters.push_back(std::string(at > 0 ? wordpiece_continues : "").append(word.substr(at, length)));
  }
  return characters;
}

std::string joined(std::string_view left, std::string_view right) {
  return std::string(left).append(right.substr(wordpiece_continues.size()));
}

}  // namespace

WordPieceTokenizer train_wordpiece(std::string_view training_text, int64_t size) {
  if (first_invalid_utf8(training_text)) return train_wordpiece(replace_invalid_utf8(training_text), size);
  TypeCounter counter;
  for_each_wordpiece_word(training_text, [&](std::string_view word) {
    if (word != wordpiece_unknown && word != wordpiece_end_of_line) counter.add(word);
  });

  std::set<std::string> alphabet, continuing;  // the order of UTF-8 is that of code points
  for (const auto& [word, occurrences] : counter.counts())
    for (const std::string& character : characters_of(word)) {
      const bool continues = character.starts_with(wordpiece_continues);
      if (continues) continuing.insert(character);
      alphabet.insert(continues ? character.substr(wordpiece_continues.size()) : character);
    }
  std::vector<std::string> entries{std::string(wordpiece_unknown), std::string(wordpiece_end_of_line)};
  entries.insert(entries.end(), alphabet.begin(), alphabet.end());
  entries.insert(entries.end(), continuing.begin(), continuing.end());
  require(
      static_cast<int64_t>(entries.size()) <= size, "wordpiece",
      [&] {
        return text("expected max_types of at least ", entries.size(), ", for [UNK], [SEP], the ", alphabet.size(),
                    " characters of the training text and the ", continuing.size(), " that continue a word, found ", size);
      });

  TextMap<int32_t> ids;
  for (const std::string& entry : entries) ids.emplace(entry, static_cast<int32_t>(ids.size()));
  std::vector<CountedPiece> pieces;
  for (const auto& [word, occurrences] : counter.counts()) {
    pieces.push_back({{}, occurrences});
    for (const std::string& character : characters_of(word)) pieces.back().ids.push_back(ids.at(character));
  }
  learn_merges(entries, size, pieces, joined);
  return WordPieceTokenizer(std::move(entries));
}

}  // namespace tapir
