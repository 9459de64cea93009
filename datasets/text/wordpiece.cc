#include "datasets/text/wordpiece.h"

#include <algorithm>

#include "datasets/text/pre_tokenizer.h"
#include "datasets/text/utf8.h"
#include "tensor/error.h"

namespace tapir {
namespace {

constexpr std::string_view unknown_word = "<unk>";
constexpr int64_t most_characters = 100;  // of a word

bool is_word(std::string_view text) {
  bool is_word = false;
  for_each_bert_word(text, [&](std::string_view word) { is_word = word == text; });
  return is_word;
}

bool is_piece(std::string_view entry) {
  if (!entry.starts_with(wordpiece_continues)) return is_word(entry);
  const std::string_view end = entry.substr(wordpiece_continues.size());
  return !end.empty() && is_word("a" + std::string(end));
}

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; });
}

void write(std::string& text, std::string_view word) {
  if (word == wordpiece_end_of_line) {
    text += '\n';
  } else {
    if (!text.empty() && text.back() != '\n') text += ' ';
    text += word == wordpiece_unknown ? unknown_word : word;
  }
}

}  // namespace

void for_each_wordpiece_word(std::string_view text, const std::function<void(std::string_view)>& visit) {
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    for (size_t at; (at = line.find(unknown_word)) != line.npos; line.remove_prefix(at + unknown_word.size())) {
      for_each_bert_word(line.substr(0, at), visit);
      visit(wordpiece_unknown);
    }
    for_each_bert_word(line, visit);
    if (end < text.size()) visit(wordpiece_end_of_line);
  }
}

WordPieceTokenizer::WordPieceTokenizer(std::vector<std::string> entries) : Tokenizer(Vocabulary(std::move(entries), "")) {
  constexpr std::string_view where = "wordpiece vocabulary";
  require(vocabulary().id(wordpiece_unknown).has_value(), where,
          [] { return text("expected an entry ", wordpiece_unknown, " for what is unknown, found none"); });
  require(vocabulary().id(wordpiece_end_of_line).has_value(), where,
          [] { return text("expected an entry ", wordpiece_end_of_line, " for the end of a line, found none"); });
  const auto& all = vocabulary().entries();
  for (size_t id = 0; id < all.size(); ++id) {
    require(!first_invalid_utf8(all[id]), where, [&] { return text("entry ", id, " is not UTF-8: ", shown(all[id])); });
    require(all[id] == wordpiece_unknown || all[id] == wordpiece_end_of_line || is_piece(all[id]), where,
            [&] { return text("entry ", id, " is no piece of a word: ", shown(all[id])); });
    longest_ = std::max(longest_, all[id].size());
  }
}

std::vector<int32_t> WordPieceTokenizer::encode_word(std::string_view word) const {
  const std::vector<int32_t> unknown{*vocabulary().id(wordpiece_unknown)};
  if (count_characters(word) > most_characters) return unknown;
  std::vector<int32_t> ids;
  for (size_t begin = 0; begin < word.size();) {
    const std::string_view prefix = begin > 0 ? wordpiece_continues : "";
    std::string piece = std::string(prefix).append(word.substr(begin, longest_));
    std::optional<int32_t> id;
    while (piece.size() > prefix.size() && !(id = vocabulary().id(piece))) piece.pop_back();
    if (!id) return unknown;
    ids.push_back(*id);
    begin += piece.size() - prefix.size();
  }
  return ids;
}

std::vector<int32_t> WordPieceTokenizer::encode(std::string_view text, const Origin& origin) const {
  if (first_invalid_utf8(text)) return encode(replace_invalid_utf8(text), origin);
  std::vector<int32_t> ids;
  TextMap<std::vector<int32_t>> seen;  // most words of a text are repeated
  for_each_wordpiece_word(text, [&](std::string_view word) {
    auto found = seen.find(word);
    if (found == seen.end()) found = seen.emplace(word, encode_word(word)).first;
    ids.insert(ids.end(), found->second.begin(), found->second.end());
  });
  return ids;
}

std::string WordPieceTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    const std::string_view entry = vocabulary().entry(id);
    if (entry.starts_with(wordpiece_continues)) {
      text += entry.substr(wordpiece_continues.size());
    } else {
      write(text, entry);
    }
  }
  return text;
}

std::string WordPieceTokenizer::decodable(std::string_view text) const {
  std::string words;
  for_each_wordpiece_word(text, [&](std::string_view word) { write(words, word); });
  return words;
}

}  // namespace tapir
