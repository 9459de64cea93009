// WordPiece. A word is cut into pieces of the vocabulary from left to right, each time the longest that fits; a piece that
// continues a word is written with "##" before it. Sources: Schuster and Nakajima 2012 (Japanese and Korean Voice Search); as
// BERT has it, cased, Devlin et al. 2018 (arXiv 1810.04805, tokenization.py).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/text/tokenizer.h"

namespace tapir {

inline constexpr std::string_view wordpiece_unknown = "[UNK]", wordpiece_end_of_line = "[SEP]", wordpiece_continues = "##";

// [SEP] stands for the end of a line, [UNK] for <unk> wherever the text has it, for a word of more than 100 characters, and for
// a word that cannot be cut. decode writes one space between words, "\n" for [SEP] and <unk> for [UNK].
class WordPieceTokenizer final : public Tokenizer {
 public:
  // Error: an entry is neither [SEP], [UNK], a word (for_each_bert_word) nor "##" and what may continue one; [SEP] or [UNK] is
  // no entry; what Vocabulary refuses.
  explicit WordPieceTokenizer(std::vector<std::string> entries);

  std::string_view kind() const override { return "wordpiece"; }

  // What is not UTF-8 is read as U+FFFD, which BERT drops.
  std::vector<int32_t> encode(std::string_view text, const Origin& origin = {}) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  std::string decodable(std::string_view text) const override;

 private:
  std::vector<int32_t> encode_word(std::string_view word) const;

  size_t longest_ = 0;  // bytes of an entry
};

// Calls visit(word) for each word of `text`, which must be UTF-8, for the end of each line as [SEP], and for each <unk> as
// [UNK]: brackets are words of their own, so no other word is one of these.
void for_each_wordpiece_word(std::string_view text, const std::function<void(std::string_view)>& visit);

// Entries are [UNK], [SEP], the characters of the text, those that continue a word once more with "##", each in the order of
// code points, and then what learn_merges makes of the words until there are `size`. What is not UTF-8 is read as U+FFFD.
// Source: WordPieceTrainer of Hugging Face's tokenizers, whose order of the characters with "##" is that of a hash map.
// Error: the characters alone are more than `size`.
WordPieceTokenizer train_wordpiece(std::string_view training_text, int64_t size);

}  // namespace tapir
