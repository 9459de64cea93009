// Files of a user's text, read whole and checked.
#pragma once
#include <filesystem>
#include <string>

namespace tapir {

// Error that names the file: missing, a directory or another thing that is no regular file.
void require_regular_file(const std::filesystem::path& file);

// The bytes of a file. Errors: those of require_regular_file; unreadable.
std::string read_file(const std::filesystem::path& file);

// The UTF-8 text of a file, with every CRLF made LF and without a byte order mark at its start.
// Errors beside those of read_file: the file is empty; has a NUL; is not UTF-8 (names byte offset, line and byte found).
std::string read_text_file(const std::filesystem::path& file);

}  // namespace tapir
