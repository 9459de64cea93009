#include "datasets/text/bpe.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "datasets/text/pre_tokenizer.h"
#include "datasets/text/utf8.h"
#include "tensor/error.h"

namespace tapir {
namespace {

constexpr uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

constexpr bool is_visible(int byte) { return (byte > 32 && byte < 127) || (byte > 160 && byte != 173); }

// The characters that stand for the bytes, each in UTF-8.
const std::array<std::string, 256>& byte_characters() {
  static const auto characters = [] {
    std::array<std::string, 256> table;
    int others = 0;
    for (int byte = 0; byte < 256; ++byte) {
      const int code_point = is_visible(byte) ? byte : 256 + others++;
      std::string& character = table[static_cast<size_t>(byte)];
      if (code_point >= 128) character += static_cast<char>(0xC0 | code_point >> 6);
      character += static_cast<char>(code_point < 128 ? code_point : 0x80 | (code_point & 63));
    }
    return table;
  }();
  return characters;
}

std::string bytes_of_entry(const std::string& entry, size_t id) {
  static const auto byte_of = [] {
    TextMap<char> bytes;
    for (int byte = 0; byte < 256; ++byte)
      bytes.emplace(byte_characters()[static_cast<size_t>(byte)], static_cast<char>(byte));
    return bytes;
  }();
  std::string bytes;
  for (size_t i = 0; i < entry.size();) {
    const size_t length = std::max<size_t>(utf8_length(entry, i), 1);
    const auto found = byte_of.find(std::string_view(entry).substr(i, length));
    require(found != byte_of.end(), "bpe vocabulary", [&] {
      return text("entry ", id, " has the character ", shown(entry.substr(i, length)), ", which stands for no byte");
    });
    bytes += found->second;
    i += length;
  }
  return bytes;
}

}  // namespace

std::vector<std::string> byte_entries() {
  std::vector<std::string> entries;
  for (const bool visible : {true, false})
    for (int byte = 0; byte < 256; ++byte)
      if (is_visible(byte) == visible) entries.push_back(byte_characters()[static_cast<size_t>(byte)]);
  return entries;
}

BpeTokenizer::BpeTokenizer(std::vector<std::string> entries) : Tokenizer(Vocabulary(std::move(entries), "")) {
  const auto& all = vocabulary().entries();
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto id = vocabulary().id(byte_characters()[byte]);
    require(id.has_value(), "bpe vocabulary", [&] {
      return text("expected every byte among the entries, found no ", shown(byte_characters()[byte]), " for ",
                  shown_byte(static_cast<char>(byte)));
    });
    id_of_byte_[byte] = *id;
  }
  for (size_t id = 0; id < all.size(); ++id) {
    bytes_.push_back(bytes_of_entry(all[id], id));
    const std::vector<int32_t> parts = encode_piece(bytes_.back());
    if (parts.size() == 2) merges_.emplace(pair_key(parts[0], parts[1]), static_cast<int32_t>(id));
  }
}

int32_t BpeTokenizer::merged(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found != merges_.end() ? found->second : -1;
}

// Every token is younger than its parts, so what a merge makes never comes before what waits: one heap ordered by
// (merge, position) takes the neighbours in the order of the definition.
std::vector<int32_t> BpeTokenizer::encode_piece(std::string_view piece) const {
  const size_t n = piece.size();
  std::vector<int32_t> ids(n);           // −1: joined to a token further left
  std::vector<size_t> next(n), last(n);  // neighbours that are left
  using Candidate = std::pair<int32_t, size_t>;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto joined = [&](size_t at) { return next[at] < n ? merged(ids[at], ids[next[at]]) : -1; };
  const auto consider = [&](size_t at) {
    if (const int32_t id = joined(at); id >= 0) candidates.emplace(id, at);
  };

  for (size_t at = 0; at < n; ++at) {
    ids[at] = id_of_byte_[static_cast<unsigned char>(piece[at])];
    next[at] = at + 1;
    last[at] = at - 1;
  }
  for (size_t at = 0; at < n; ++at) consider(at);
  while (!candidates.empty()) {
    const auto [id, at] = candidates.top();
    candidates.pop();
    if (ids[at] < 0 || joined(at) != id) continue;  // an earlier merge took one of the two
    const size_t right = next[at];
    ids[at] = id;
    ids[right] = -1;
    next[at] = next[right];
    if (next[at] < n) last[next[at]] = at;
    consider(at);
    if (at > 0) consider(last[at]);
  }
  std::erase(ids, -1);
  return ids;
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, const Origin& origin) const {
  if (first_invalid_utf8(text)) return encode(replace_invalid_utf8(text), origin);
  std::vector<int32_t> ids;
  TextMap<std::vector<int32_t>> seen;  // most pieces of a text are repeated
  for_each_piece(text, [&](std::string_view piece) {
    auto found = seen.find(piece);
    if (found == seen.end()) found = seen.emplace(piece, encode_piece(piece)).first;
    ids.insert(ids.end(), found->second.begin(), found->second.end());
  });
  return ids;
}

std::string BpeTokenizer::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) {
    vocabulary().entry(id);  // throws for an id out of range
    bytes += bytes_[static_cast<size_t>(id)];
  }
  return first_invalid_utf8(bytes) ? replace_invalid_utf8(bytes) : bytes;
}

}  // namespace tapir
