#include "datasets/text/utf8.h"

#include <algorithm>
#include <cstdint>

namespace tapir {
namespace {

std::string hexadecimal(char byte) {
  const auto value = static_cast<unsigned char>(byte);
  return {"0123456789abcdef"[value >> 4], "0123456789abcdef"[value & 15]};
}

// Number of bytes at `offset`, where no character stands, that begin one; 1 if none does.
size_t broken_length(std::string_view text, size_t offset) {
  const auto byte = [&](size_t i) { return offset + i < text.size() ? static_cast<unsigned char>(text[offset + i]) : 0; };
  const int lead = byte(0);
  if (lead < 0xC2 || lead > 0xF4) return 1;
  const int low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;    // no overlong forms
  const int high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;   // no surrogates, nothing above U+10FFFF
  if (byte(1) < low || byte(1) > high) return 1;
  return lead >= 0xF0 && (byte(2) & 0xC0) == 0x80 ? 3 : 2;
}

// Of the character that starts at `offset`, and is one.
bool is_control(std::string_view text, size_t offset) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[offset + i]); };
  return byte(0) < 0x20 || byte(0) == 0x7F || (byte(0) == 0xC2 && byte(1) < 0xA0);
}

}  // namespace

size_t utf8_length(std::string_view text, size_t offset) {
  const auto lead = static_cast<unsigned char>(text[offset]);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - offset < length) return 0;
  uint32_t code_point = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[offset + i]);
    if ((byte & 0xC0) != 0x80) return 0;
    code_point = code_point << 6 | (byte & 0x3F);
  }
  constexpr uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  return code_point >= smallest[length] && code_point <= 0x10FFFF && !surrogate ? length : 0;
}

std::optional<size_t> first_invalid_utf8(std::string_view text) {
  for (size_t offset = 0; offset < text.size();) {
    const size_t length = utf8_length(text, offset);
    if (length == 0) return offset;
    offset += length;
  }
  return std::nullopt;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string valid;
  for (size_t offset = 0; offset < text.size();) {
    const size_t length = utf8_length(text, offset);
    valid += length > 0 ? text.substr(offset, length) : "\uFFFD";
    offset += length > 0 ? length : broken_length(text, offset);
  }
  return valid;
}

bool has_control_character(std::string_view text) {
  for (size_t offset = 0; offset < text.size(); offset += utf8_length(text, offset))
    if (is_control(text, offset)) return true;
  return false;
}

std::string shown(std::string_view text) {
  constexpr size_t longest = 60;
  std::string shown = "\"";
  size_t offset = 0;
  while (offset < std::min(text.size(), longest)) {
    const size_t length = utf8_length(text, offset);
    const bool printable = length > 0 && !is_control(text, offset);
    shown += printable ? std::string(text.substr(offset, length)) : "\\x" + hexadecimal(text[offset]);
    offset += printable ? length : 1;
  }
  return shown + (offset < text.size() ? "...\"" : "\"");
}

std::string shown_byte(char byte) { return "0x" + hexadecimal(byte); }

}  // namespace tapir
