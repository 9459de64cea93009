// GPT-2's pre-tokenizer: a text is cut into pieces, and no token reaches across two of them.
#pragma once
#include <functional>
#include <string_view>

namespace tapir {

// Calls visit(piece) for each piece of `text`, from left to right; joined, they are the text. A piece is the first of these
// that fits (Radford et al. 2019, encoder.py): one of the endings 's 't 're 've 'm 'll 'd; letters, numbers, or neither,
// each after at most one space; white space but for its last character where something follows; white space. `text` must be
// UTF-8. Linear in its size.
void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& visit);

}  // namespace tapir
