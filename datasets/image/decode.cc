#include "datasets/image/decode.h"

#include <limits>
#include <memory>

#include "tensor/error.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS (1 << 22)   // most_image_pixels
#include <stb/stb_image.h>

namespace tapir {
namespace {

// What stb_image does not tell of a JPEG: how many components its frame has, and whether its end is there.
struct JpegMarkers {
  int components = 0;
  bool ends = false;
};

// ISO/IEC 10918-1, annex B.
JpegMarkers jpeg_markers(std::string_view bytes) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(bytes[at]); };
  JpegMarkers found;
  for (size_t at = 2; at + 1 < bytes.size();) {
    const int marker = byte(at + 1);
    if (byte(at) != 0xFF || marker <= 1 || marker == 0xFF || (marker >= 0xD0 && marker <= 0xD8)) {
      ++at;   // coded data, fill bytes, restarts: up to the next segment
      continue;
    }
    if (marker == 0xD9) {
      found.ends = true;
      break;
    }
    const bool is_frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (is_frame && at + 9 < bytes.size()) found.components = byte(at + 9);
    at += at + 3 < bytes.size() ? 2 + (byte(at + 2) << 8 | byte(at + 3)) : 2;
  }
  return found;
}

}  // namespace

DecodedImage decode_image(std::string_view bytes, const std::string& name) {
  const bool is_jpeg = bytes.starts_with("\xFF\xD8\xFF");
  require(is_jpeg || bytes.starts_with("\x89PNG\r\n\x1A\n"), name, [] { return "expected a PNG or JPEG image"; });
  require(bytes.size() <= std::numeric_limits<int>::max(), name,
          [&] { return text("expected an image of less than 2^31 bytes, found ", bytes.size()); });
  const auto* const data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const int size = static_cast<int>(bytes.size());
  const auto unreadable = [] { return text("cannot be decoded: ", stbi_failure_reason()); };

  if (is_jpeg) {
    const JpegMarkers markers = jpeg_markers(bytes);
    require(markers.components != 4, name, [] { return "expected grey or RGB, found CMYK"; }, "convert the image");
    require(markers.ends, name, [] { return "has no end-of-image marker"; }, "is it complete?");
  }
  int width = 0, height = 0, channels = 0;
  require(stbi_info_from_memory(data, size, &width, &height, &channels), name, unreadable);
  require(int64_t{width} * height <= most_image_pixels, name,
          [&] { return text("expected at most ", most_image_pixels, " pixels, found ", width, " x ", height); },
          "scale the image down");
  require(!stbi_is_16_bit_from_memory(data, size), name, [] { return "expected 8 bits a channel, found 16"; },
          "convert the image");
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(stbi_load_from_memory(data, size, &width, &height, &channels, 3),
                                                         &stbi_image_free);
  require(pixels != nullptr, name, unreadable);
  return {height, width, std::vector<uint8_t>(pixels.get(), pixels.get() + int64_t{width} * height * 3)};
}

}  // namespace tapir
