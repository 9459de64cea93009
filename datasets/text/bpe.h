// Byte pair encoding. Tokens are sequences of bytes, so no text has an unknown one. Sources: Sennrich, Haddow, Birch 2016
// (arXiv 1508.07909); over bytes, Radford et al. 2019 (GPT-2, encoder.py).
//
// A piece of the text (pre_tokenizer.h) starts as its bytes. Of all neighbours that some merge joins, those of the earliest
// merge are joined, from left to right; this is repeated until no merge is left.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "datasets/text/tokenizer.h"

namespace tapir {

// Entries are written as GPT-2 writes them, each byte as a character that can be seen: 33 … 126, 161 … 172 and 174 … 255 as
// U+0021 … U+00FF, the n-th of the other 68 as U+0100 + n. So " the" is the entry "Ġthe".
class BpeTokenizer final : public Tokenizer {
 public:
  // The order of the entries is the order of the merges, and the entries are all there is to know: where the earlier merges
  // bring an entry of several bytes to two tokens, these two are its merge. Where they do not, no text becomes that entry
  // (<|endoftext|> of GPT-2). Error: an entry has another character; one of the 256 bytes is no entry; what Vocabulary
  // refuses.
  explicit BpeTokenizer(std::vector<std::string> entries);

  std::string_view kind() const override { return "bpe"; }

  // O(n log n) in the size of the longest piece, else linear. What is not UTF-8 is read as U+FFFD (replace_invalid_utf8):
  // GPT-2 takes characters, not bytes.
  std::vector<int32_t> encode(std::string_view text, const Origin& origin = {}) const override;

  // decode(encode(text)) is text where that is UTF-8. Ids that end within a character give U+FFFD there, as in GPT-2.
  std::string decode(std::span<const int32_t> ids) const override;

  // The token that two neighbours are joined to; −1: they are not.
  int32_t merged(int32_t left, int32_t right) const;
  int64_t merges() const { return static_cast<int64_t>(merges_.size()); }

 private:
  std::vector<int32_t> encode_piece(std::string_view piece) const;

  std::array<int32_t, 256> id_of_byte_{};
  std::vector<std::string> bytes_;                // of each entry
  std::unordered_map<uint64_t, int32_t> merges_;  // (left, right) to the id of both joined
};

// The 256 bytes as entries, ordered by the characters that they are written as.
std::vector<std::string> byte_entries();

// Learns merges until there are `size` entries, the 256 bytes first, or no neighbours are left. Each merge joins the
// neighbours that occur most often within the pieces of the text; of equally frequent ones those with the smaller left id,
// then the smaller right id. What is not UTF-8 is read as U+FFFD. O(n log n) in the size of the text. Error: size < 256.
BpeTokenizer train_bpe(std::string_view training_text, int64_t size);

// The tokenizer of GPT-2 from its published files `encoder.json` (entry to id) and `vocab.bpe` (the merges in order).
// Errors name the file and the byte: a file is missing or malformed, ids are not 0, 1, 2, …, the merges are not those of
// the entries; and what the constructor refuses.
BpeTokenizer read_gpt2_tokenizer(const std::filesystem::path& folder);

}  // namespace tapir
