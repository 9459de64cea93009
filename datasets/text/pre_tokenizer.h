// Pre-tokenizers: a text is cut into pieces, and no token reaches across two of them.
#pragma once
#include <functional>
#include <string_view>

namespace tapir {

// GPT-2's. Calls visit(piece) for each piece of `text`, from left to right; joined, they are the text. A piece is the first
// of these that fits (Radford et al. 2019, encoder.py): one of the endings 's 't 're 've 'm 'll 'd; letters, numbers, or
// neither, each after at most one space; white space but for its last character where something follows; white space. `text`
// must be UTF-8. Linear in its size.
void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& visit);

// BERT's, cased (Devlin et al. 2018, tokenization.py), as Hugging Face's tokenizers have it. Calls visit(word) for each word
// of `text`, from left to right. Words are what white space (Z*, tab, line feed, carriage return) separates; punctuation (P*
// and $+<=>^`|~) and Chinese characters are words of one character. Other control characters, format characters, private use
// and U+FFFD are dropped before. `text` must be UTF-8. Linear in its size.
void for_each_bert_word(std::string_view text, const std::function<void(std::string_view)>& visit);

}  // namespace tapir
