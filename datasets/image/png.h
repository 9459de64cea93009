// The chunks of a PNG file (ISO/IEC 15948), as far as stb_image does not check them.
#pragma once
#include <string>
#include <string_view>

namespace tapir {

// Errors name the file `name`: the first chunk is no IHDR; a chunk that ends behind the file, or has another checksum (CRC-32)
// than its bytes; pixels that are cut, not compressed, have another checksum (Adler-32), or are more or fewer than the header
// says; no IEND. `bytes` begin with the signature. What follows IEND is not looked at.
void require_intact_png(std::string_view bytes, const std::string& name);

}  // namespace tapir
