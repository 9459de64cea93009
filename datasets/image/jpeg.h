// What stb_image does not check of a JPEG file (ISO/IEC 10918-1, annexes B, F and G), and how it is to be turned.
#pragma once
#include <string>
#include <string_view>

namespace tapir {

// Errors name the file `name`: four components (CMYK); a Huffman table of more than 255 codes, or one that ends behind its
// segment; no end-of-image marker. `bytes` begin with the start-of-image marker.
void require_decodable_jpeg(std::string_view bytes, const std::string& name);

// Reads every code of the scans, of an image whose header stb_image has accepted; it takes one bit for each coefficient of a
// progressive one. Errors name the file `name`: a scan whose codes end before its last block, or go on behind it; bits that
// are no code; a restart marker or a table that is missing; at the end a component of which there is no scan, or not every bit
// of every coefficient. Codes that damage turned into as many bits of others are not found: JPEG has no checksum.
void require_whole_jpeg(std::string_view bytes, const std::string& name);

// Of a camera that was held otherwise, in 1 … 8 as Exif has it (2.3, tag 0x0112): what the first row and column are. 1, top
// and left, where the file does not say, or says it in bytes that are no Exif.
int orientation_of_jpeg(std::string_view bytes);

}  // namespace tapir
