// UTF-8 (RFC 3629): code points of a text, and text that is safe to show in one line.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace tapir {

// Number of bytes of the character that starts at `offset` < text.size(); 0 where the bytes there are not UTF-8
// (stray or missing continuation bytes, overlong forms, surrogates, values above U+10FFFF).
size_t utf8_length(std::string_view text, size_t offset);

// Offset of the first byte at which `text` is not UTF-8.
std::optional<size_t> first_invalid_utf8(std::string_view text);

// `text` with U+FFFD in place of what is not UTF-8: one for each longest beginning of a character, else one for each byte
// (Unicode 15, section 3.9; bytes.decode(errors="replace") of Python).
std::string replace_invalid_utf8(std::string_view text);

// Whether a character of `text`, UTF-8, commands a terminal: U+0000 … U+001F, U+007F … U+009F.
bool has_control_character(std::string_view text);

// "text" in double quotes, for a message: control characters and stray bytes as \x1f, more than 60 bytes cut with "...".
std::string shown(std::string_view text);

// One byte as a message shows it: 0x1f.
std::string shown_byte(char byte);

}  // namespace tapir
