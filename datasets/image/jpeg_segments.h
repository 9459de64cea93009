// The segments of a JPEG file (ISO/IEC 10918-1, annex B).
#pragma once
#include <algorithm>
#include <string_view>

namespace tapir {

inline constexpr std::string_view is_complete = "is it complete?", is_damaged = "is it damaged?";

inline int byte_at(std::string_view bytes, size_t at) { return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0; }

inline size_t pair_at(std::string_view bytes, size_t at) {
  return static_cast<size_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

// What stands between a marker and the next: `bytes` behind its length, from `begin` on in the file; cut where the file ends.
struct Segment {
  int marker = 0;
  size_t begin = 0, end = 0;   // the end that its length claims
  std::string_view bytes;
};

// The first segment from `at` on: coded data, fill bytes and restarts are none. Its marker is 0 at the end of the file.
inline Segment segment_from(std::string_view bytes, size_t at) {
  for (; at + 1 < bytes.size(); ++at) {
    const int marker = byte_at(bytes, at + 1);
    if (byte_at(bytes, at) != 0xFF || marker <= 1 || marker == 0xFF || (marker >= 0xD0 && marker <= 0xD8)) continue;
    const size_t begin = std::min(at + 4, bytes.size());
    if (marker == 0xD9) return {marker, begin, begin, {}};
    const size_t end = at + 2 + std::max<size_t>(pair_at(bytes, at + 2), 2);
    return {marker, begin, end, bytes.substr(begin, std::max(end, begin) - begin)};
  }
  return {};
}

inline bool is_frame(int marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

inline size_t codes_at(std::string_view segment, size_t table) {   // of all lengths, 1 … 16 bits
  size_t codes = 0;
  for (size_t bits = 1; bits <= 16; ++bits) codes += static_cast<size_t>(byte_at(segment, table + bits));
  return codes;
}

}  // namespace tapir
