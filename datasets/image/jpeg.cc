#include "datasets/image/jpeg.h"

#include <algorithm>
#include <cstdint>

#include "tensor/error.h"

namespace tapir {
namespace {

int byte_at(std::string_view bytes, size_t at) { return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0; }

// A segment of tables: for each its class and number, how many codes there are of 1 … 16 bits, and as many values.
void require_small_tables(std::string_view segment, size_t offset, const std::string& name) {
  for (size_t at = 0; at < segment.size();) {
    size_t codes = 0;
    for (size_t bits = 1; bits <= 16; ++bits) codes += static_cast<size_t>(byte_at(segment, at + bits));
    require(codes <= 255 && at + 17 + codes <= segment.size(), name, [&] {
      return text("byte ", offset + at, ": expected a Huffman table of at most 255 codes within its segment, found ", codes);
    });
    at += 17 + codes;
  }
}

}  // namespace

void require_decodable_jpeg(std::string_view bytes, const std::string& name) {
  for (size_t at = 2; at < bytes.size();) {
    const int marker = byte_at(bytes, at + 1);
    if (byte_at(bytes, at) != 0xFF || marker <= 1 || marker == 0xFF || (marker >= 0xD0 && marker <= 0xD8)) {
      ++at;   // coded data, fill bytes, restarts: up to the next segment
      continue;
    }
    if (marker == 0xD9) return;
    const size_t length = static_cast<size_t>(byte_at(bytes, at + 2) << 8 | byte_at(bytes, at + 3));
    const bool is_frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    require(!is_frame || byte_at(bytes, at + 9) != 4, name, [] { return "expected grey or RGB, found CMYK"; },
            "convert the image");
    const size_t begin = at + 4, end = at + 2 + std::max<size_t>(length, 2);
    if (marker == 0xC4 && end <= bytes.size()) require_small_tables(bytes.substr(begin, end - begin), begin, name);
    at = end;
  }
  throw Error(name, "has no end-of-image marker", "is it complete?");
}

}  // namespace tapir
