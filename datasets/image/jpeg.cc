#include "datasets/image/jpeg.h"

#include <algorithm>
#include <optional>

#include "datasets/image/jpeg_segments.h"
#include "tensor/error.h"

namespace tapir {
namespace {

// A segment of tables: for each its class and number, how many codes there are of 1 … 16 bits, and as many values.
void require_small_tables(const Segment& segment, const std::string& name) {
  for (size_t at = 0; at < segment.bytes.size();) {
    const size_t codes = codes_at(segment.bytes, at);
    require(codes <= 255 && at + 17 + codes <= segment.bytes.size(), name, [&] {
      return text("byte ", segment.begin + at, ": expected a Huffman table of at most 255 codes within its segment, found ",
                  codes);
    });
    at += 17 + codes;
  }
}

// The value of the tag in the first directory of `tiff`, numbers in either order of bytes.
std::optional<int> orientation_of_tiff(std::string_view tiff) {
  const bool is_little = tiff.starts_with(std::string_view("II*\0", 4));
  if (!is_little && !tiff.starts_with(std::string_view("MM\0*", 4))) return {};
  const auto number = [&](size_t at, size_t size) {
    size_t value = 0;
    for (size_t k = 0; k < size; ++k)
      value = value << 8 | static_cast<size_t>(byte_at(tiff, is_little ? at + size - 1 - k : at + k));
    return value;
  };
  const size_t directory = number(4, 4), entries = number(directory, 2);
  for (size_t entry = directory + 2; entry < directory + 2 + 12 * entries && entry + 12 <= tiff.size(); entry += 12)
    if (number(entry, 2) == 0x0112 && number(entry + 2, 2) == 3 && number(entry + 4, 4) == 1)   // one number of 16 bits
      return static_cast<int>(number(entry + 8, 2));
  return {};
}

}  // namespace

void require_decodable_jpeg(std::string_view bytes, const std::string& name) {
  for (Segment segment = segment_from(bytes, 2); segment.marker != 0; segment = segment_from(bytes, segment.end)) {
    if (segment.marker == 0xD9) return;
    require(!is_frame(segment.marker) || byte_at(segment.bytes, 5) != 4, name,
            [] { return "expected grey or RGB, found CMYK"; }, "convert the image");
    if (segment.marker == 0xC4 && segment.end <= bytes.size()) require_small_tables(segment, name);
  }
  throw Error(name, "has no end-of-image marker", is_complete);
}

int orientation_of_jpeg(std::string_view bytes) {
  constexpr std::string_view exif("Exif\0\0", 6);
  for (Segment segment = segment_from(bytes, 2); segment.marker != 0 && segment.marker != 0xDA && segment.marker != 0xD9;
       segment = segment_from(bytes, segment.end))
    if (segment.marker == 0xE1 && segment.bytes.starts_with(exif))
      if (const auto found = orientation_of_tiff(segment.bytes.substr(exif.size())); found >= 1 && found <= 8) return *found;
  return 1;
}

}  // namespace tapir
