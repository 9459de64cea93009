// PNG and JPEG files, by stb_image.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tapir {

struct DecodedImage {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> pixels;   // (height, width, 3): red, green, blue
};

inline constexpr int64_t most_image_pixels = int64_t{1} << 26;

// Grey becomes three equal channels; transparency is dropped; a JPEG is turned as its Exif orientation says. Takes at most 15
// bytes for each pixel that the header declares (of at least 2^22), and twice the file. Errors name the file `name`: neither
// PNG nor JPEG; 16 bits a channel; CMYK; more than most_image_pixels; more than the memory that is left; cut; a PNG with a
// checksum that differs (require_intact_png); a JPEG whose scans are not whole (require_whole_jpeg), which has no
// checksum: codes that damage made others, but no fewer and no more, are decoded.
DecodedImage decode_image(std::string_view bytes, const std::string& name);

}  // namespace tapir
