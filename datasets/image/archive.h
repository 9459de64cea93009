// Files of a .tar.gz archive, read into memory: nothing is unpacked to disk.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace tapir {

// The bytes of those files of `archive` (tar, compressed by gzip or not) that `wanted` names by their paths in it, each with
// the number of bytes that it may have at most. What the archive lacks is not in the result. All that it unpacks to may be
// twice the bytes that are wanted, and 64 MiB.
// Errors name the archive: missing or no regular file; not a tar archive; truncated; other bytes than gzip's checksum and size
// say, of each of its members; a path that is absolute or has ".."; a file that is there twice, or no regular file, or too
// large; more bytes than above.
std::map<std::string, std::string> read_archive(const std::filesystem::path& archive,
                                                const std::map<std::string, int64_t>& wanted);

}  // namespace tapir
