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

inline constexpr int64_t most_image_pixels = int64_t{1} << 22;   // so that hostile sizes take no memory

// Grey becomes three equal channels; transparency is dropped. Errors name the file `name`: neither PNG nor JPEG; 16 bits a
// channel; CMYK; more than most_image_pixels; truncated or damaged.
DecodedImage decode_image(std::string_view bytes, const std::string& name);

}  // namespace tapir
