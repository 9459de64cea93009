#include "datasets/image/decode.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "datasets/image/jpeg.h"
#include "datasets/image/png.h"
#include "tensor/available_memory.h"
#include "tensor/error.h"

namespace tapir {
namespace {

// What stb_image may still take for an image. Its memory is cleared: of a damaged file it may read what it never wrote.
thread_local int64_t memory_left = 0;

constexpr size_t header = alignof(std::max_align_t);   // in front of a block: its size

int64_t size_of(const std::byte* block) {
  int64_t size = 0;
  std::memcpy(&size, block, sizeof size);
  return size;
}

void* take_memory(size_t size) {
  const auto bytes = static_cast<int64_t>(size);
  if (bytes < 0 || bytes > memory_left) return nullptr;
  auto* const block = static_cast<std::byte*>(std::calloc(1, header + size));
  if (!block) return nullptr;
  std::memcpy(block, &bytes, sizeof bytes);
  memory_left -= bytes;
  return block + header;
}

void give_memory(void* memory) {
  if (!memory) return;
  std::byte* const block = static_cast<std::byte*>(memory) - header;
  memory_left += size_of(block);
  std::free(block);
}

void* move_memory(void* memory, size_t old_size, size_t size) {
  void* const moved = take_memory(size);
  if (!moved) return nullptr;
  if (memory) std::memcpy(moved, memory, old_size < size ? old_size : size);
  give_memory(memory);
  return moved;
}

}  // namespace
}  // namespace tapir

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS (1 << 26)   // most_image_pixels
#define STBI_ASSERT(condition) static_cast<void>(sizeof(condition))
#define STBI_MALLOC(size) tapir::take_memory(size)
#define STBI_FREE(memory) tapir::give_memory(memory)
#define STBI_REALLOC_SIZED(memory, old_size, size) tapir::move_memory(memory, old_size, size)
#include <stb/stb_image.h>

namespace tapir {
namespace {

// What stb_image takes: 12 bytes for each pixel of a progressive JPEG, 14 of an interlaced PNG; more where an image is narrower
// than the blocks of a JPEG.
int64_t memory_of(int64_t pixels) { return 15 * std::max(pixels, int64_t{1} << 22); }

// Of the eight orientations those from 5 on exchange rows and columns.
DecodedImage turned(DecodedImage image, int orientation) {
  if (orientation == 1) return image;
  const bool exchanges = orientation >= 5;
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  DecodedImage result{exchanges ? image.width : image.height, exchanges ? image.height : image.width, {}};
  result.pixels.resize(image.pixels.size());
  auto to = result.pixels.begin();
  for (int64_t y = 0; y < result.height; ++y)
    for (int64_t x = 0; x < result.width; ++x) {
      const int64_t row = exchanges ? x : y, column = exchanges ? y : x;
      const int64_t from = (from_below ? image.height - 1 - row : row) * image.width +
                           (from_right ? image.width - 1 - column : column);
      to = std::copy_n(image.pixels.begin() + 3 * from, 3, to);
    }
  return result;
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
  if (is_jpeg) require_decodable_jpeg(bytes, name);

  memory_left = 1 << 20;   // for a header
  int width = 0, height = 0, channels = 0;
  require(stbi_info_from_memory(data, size, &width, &height, &channels), name, unreadable);
  require(int64_t{width} * height <= most_image_pixels, name,
          [&] { return text("expected at most ", most_image_pixels, " pixels, found ", width, " x ", height); },
          "scale the image down");
  memory_left = memory_of(int64_t{width} * height) + 2 * static_cast<int64_t>(bytes.size());
  require_memory(name, memory_left, "scale the image down");
  require(!stbi_is_16_bit_from_memory(data, size), name, [] { return "expected 8 bits a channel, found 16"; },
          "convert the image");
  if (is_jpeg) require_whole_jpeg(bytes, name);
  else require_intact_png(bytes, name);
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(stbi_load_from_memory(data, size, &width, &height, &channels, 3),
                                                         &stbi_image_free);
  require(pixels != nullptr, name, unreadable);
  DecodedImage image{height, width, std::vector<uint8_t>(pixels.get(), pixels.get() + int64_t{width} * height * 3)};
  return turned(std::move(image), is_jpeg ? orientation_of_jpeg(bytes) : 1);
}

}  // namespace tapir
