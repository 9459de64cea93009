// The segments of a JPEG file (ISO/IEC 10918-1, annex B), as far as stb_image does not check them.
#pragma once
#include <string>
#include <string_view>

namespace tapir {

// Errors name the file `name`: four components (CMYK); a Huffman table of more than 255 codes, or one that ends behind its
// segment; no end-of-image marker. `bytes` begin with the start-of-image marker.
void require_decodable_jpeg(std::string_view bytes, const std::string& name);

}  // namespace tapir
