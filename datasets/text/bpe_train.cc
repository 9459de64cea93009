#include "datasets/text/bpe.h"
#include "datasets/text/merges.h"
#include "datasets/text/pre_tokenizer.h"
#include "datasets/text/utf8.h"
#include "tensor/error.h"

namespace tapir {

BpeTokenizer train_bpe(std::string_view training_text, int64_t size) {
  require(size >= 256 && size <= int64_t{1} << 31, "bpe",
          [&] { return text("expected a vocabulary of 256 (the bytes alone) to 2^31 entries, found ", size); });
  if (first_invalid_utf8(training_text)) return train_bpe(replace_invalid_utf8(training_text), size);
  TypeCounter counter;
  for_each_piece(training_text, [&](std::string_view piece) { counter.add(piece); });
  std::vector<std::string> entries = byte_entries();
  const BpeTokenizer bytes(entries);
  std::vector<CountedPiece> pieces;
  for (const auto& [piece, occurrences] : counter.counts()) pieces.push_back({bytes.encode(piece), occurrences});
  learn_merges(entries, size, pieces,
               [](std::string_view left, std::string_view right) { return std::string(left).append(right); });
  return BpeTokenizer(std::move(entries));
}

}  // namespace tapir
