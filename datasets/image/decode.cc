#include "datasets/image/decode.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

#include "datasets/image/jpeg.h"
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
#define STBI_MAX_DIMENSIONS (1 << 22)   // most_image_pixels
#define STBI_ASSERT(condition) static_cast<void>(sizeof(condition))
#define STBI_MALLOC(size) tapir::take_memory(size)
#define STBI_FREE(memory) tapir::give_memory(memory)
#define STBI_REALLOC_SIZED(memory, old_size, size) tapir::move_memory(memory, old_size, size)
#include <stb/stb_image.h>

namespace tapir {

DecodedImage decode_image(std::string_view bytes, const std::string& name) {
  const bool is_jpeg = bytes.starts_with("\xFF\xD8\xFF");
  require(is_jpeg || bytes.starts_with("\x89PNG\r\n\x1A\n"), name, [] { return "expected a PNG or JPEG image"; });
  require(bytes.size() <= std::numeric_limits<int>::max(), name,
          [&] { return text("expected an image of less than 2^31 bytes, found ", bytes.size()); });
  const auto* const data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const int size = static_cast<int>(bytes.size());
  const auto unreadable = [] { return text("cannot be decoded: ", stbi_failure_reason()); };
  if (is_jpeg) require_decodable_jpeg(bytes, name);

  constexpr int64_t largest = int64_t{52} << 20;   // a progressive JPEG of most_image_pixels takes 49 MiB
  memory_left = largest + 2 * static_cast<int64_t>(bytes.size());
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
