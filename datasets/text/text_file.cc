#include "datasets/text/text_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "datasets/text/utf8.h"
#include "tensor/available_memory.h"
#include "tensor/error.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_byte(const fs::path& file, std::string_view bytes, size_t offset, std::string_view hint) {
  const auto line = 1 + std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
  throw Error(file.string(),
              text("byte ", offset, " (line ", line, "): expected UTF-8 text, found ", shown_byte(bytes[offset])), hint);
}

}  // namespace

void require_regular_file(const fs::path& file) {
  const std::string name = file.string();
  std::error_code failure;
  const auto type = fs::status(file, failure).type();
  require(type != fs::file_type::not_found, name, [] { return "no such file"; });
  require(!failure, name, [&] { return text("cannot be read: ", failure.message()); });
  require(type != fs::file_type::directory, name, [] { return "expected a file, found a directory"; });
  require(type == fs::file_type::regular, name, [] { return "expected a regular file, found a device, pipe or socket"; });
}

std::string read_file(const fs::path& file) {
  require_regular_file(file);
  const std::string name = file.string();
  std::error_code failure;
  const auto size = static_cast<int64_t>(fs::file_size(file, failure));
  if (!failure) require_memory(name, size, "use less text");
  const auto unreadable = [] { return text("cannot be read: ", std::strerror(errno)); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(name.c_str(), "rb"), &std::fclose);
  require(stream != nullptr, name, unreadable);
  std::string bytes;
  std::array<char, 1 << 16> piece;
  while (const size_t count = std::fread(piece.data(), 1, piece.size(), stream.get())) bytes.append(piece.data(), count);
  require(!std::ferror(stream.get()), name, unreadable);
  return bytes;
}

std::string read_text_file(const fs::path& file) {
  std::string bytes = read_file(file);
  if (const auto offset = first_invalid_utf8(bytes)) refuse_byte(file, bytes, *offset, "save the file as UTF-8");
  if (const auto offset = bytes.find('\0'); offset != bytes.npos) refuse_byte(file, bytes, offset, "is it a text file?");

  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (bytes.starts_with(byte_order_mark)) bytes.erase(0, byte_order_mark.size());
  require(!bytes.empty(), file.string(), [] { return "expected text, found an empty file"; });

  // "\r\n" → "\n": drop each '\r' that a '\n' follows.
  size_t kept = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\r' && i + 1 < bytes.size() && bytes[i + 1] == '\n') continue;
    bytes[kept++] = bytes[i];
  }
  bytes.resize(kept);
  return bytes;
}

}  // namespace tapir
