#include "datasets/image/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tensor/error.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

// The bytes of a file, or what they are by gzip: zlib compares the checksum and the size of every member, libarchive neither.
class Source {
 public:
  explicit Source(const std::string& name) : file_(gzopen(name.c_str(), "rb"), &gzclose_r), bytes_(1 << 16) {
    require(file_ != nullptr, name, [] { return text("cannot be read: ", std::strerror(errno)); });
    gzbuffer(file_.get(), static_cast<unsigned>(bytes_.size()));
  }

  // The number of bytes that are next, at data(): 0 at the end, −1 where failure() says what is wrong.
  int next() {
    const int count = gzread(file_.get(), bytes_.data(), static_cast<unsigned>(bytes_.size()));
    int status = Z_OK;
    const char* const reason = gzerror(file_.get(), &status);
    if (status == Z_OK || status == Z_STREAM_END) return count;
    failure_ = status == Z_ERRNO ? std::strerror(errno) : reason;   // zlib's own begins with the file, which messages do
    if (const size_t at = failure_.rfind(": "); at != failure_.npos) failure_.erase(0, at + 2);
    return -1;
  }

  const char* data() const { return bytes_.data(); }
  const std::string& failure() const { return failure_; }

 private:
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
  std::vector<char> bytes_;
  std::string failure_;
};

la_ssize_t next_bytes(archive*, void* source, const void** bytes) {
  auto* const from = static_cast<Source*>(source);
  *bytes = from->data();
  return from->next();
}

class Reader {
 public:
  explicit Reader(const fs::path& file)
      : name_((require_regular_file(file), file.string())), source_(name_), handle_(archive_read_new(), &archive_read_free) {
    archive_read_support_format_tar(handle());
    check(archive_read_open(handle(), &source_, nullptr, &next_bytes, nullptr));
  }

  // The next member; null at the end.
  archive_entry* next() {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(handle(), &entry);
    if (status == ARCHIVE_EOF) return nullptr;
    check(status);
    return entry;
  }

  std::string bytes(int64_t size, const std::string& member) {
    std::string bytes(static_cast<size_t>(size), '\0');
    int64_t filled = 0;
    while (filled < size) {
      const int64_t count = archive_read_data(handle(), bytes.data() + filled, static_cast<size_t>(size - filled));
      check(count < 0 ? static_cast<int>(count) : ARCHIVE_OK);
      require(count > 0, name_, [&] { return text(shown(member), " ends after ", filled, " of ", size, " bytes"); });
      filled += count;
    }
    return bytes;
  }

  // Reads what is behind the last member, at most `most` bytes: where a checksum may stand. Whether that is the end.
  bool ends_within(int64_t most) {
    for (int count; (count = source_.next()) != 0; most -= count) {
      check(count < 0 ? ARCHIVE_FATAL : ARCHIVE_OK);
      if (count > most) return false;
    }
    return true;
  }

  int64_t unpacked() const { return std::max<int64_t>(archive_filter_bytes(handle_.get(), 0), 0); }
  const std::string& name() const { return name_; }

 private:
  archive* handle() { return handle_.get(); }

  void check(int status) {
    require(
        status >= ARCHIVE_WARN && source_.failure().empty(), name_,
        [&] {
          const char* const reason = source_.failure().empty() ? archive_error_string(handle()) : source_.failure().c_str();
          return text("cannot be read as a tar archive behind ", unpacked(), " bytes: ", reason ? reason : "unknown reason");
        },
        "is it complete? expected .tar.gz or .tar");
  }

  std::string name_;
  Source source_;
  std::unique_ptr<archive, int (*)(archive*)> handle_;
};

// "./a//b" → "a/b"; "" for a name that libarchive cannot read.
std::string checked_path(archive_entry* entry, const std::string& archive) {
  const char* const name = archive_entry_pathname(entry);
  const std::string written = name ? name : "";
  const fs::path path = fs::path(written).lexically_normal();
  require(!path.is_absolute() && (path.empty() || *path.begin() != ".."), archive,
          [&] { return text("has a file outside of its folder: ", shown(written)); });
  return path.string();
}

}  // namespace

std::map<std::string, std::string> read_archive(const fs::path& file, const std::map<std::string, int64_t>& wanted) {
  int64_t most_unpacked = int64_t{64} << 20;
  for (const auto& [member, most] : wanted) most_unpacked += 2 * most;
  Reader reader(file);
  const auto require_size = [&](bool holds, const auto& rule) { require(holds, reader.name(), rule, "is it a zip bomb?"); };
  std::map<std::string, std::string> found;
  while (archive_entry* const entry = reader.next()) {
    const std::string member = checked_path(entry, reader.name());
    const int64_t size = archive_entry_size(entry);
    require_size(size >= 0 && size <= most_unpacked - reader.unpacked(),
                 [&] { return text("unpacks to more than ", most_unpacked, " bytes, at ", shown(member)); });
    const auto row = wanted.find(member);
    if (row == wanted.end()) continue;
    const int64_t most = row->second;
    require(archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry), reader.name(),
            [&] { return text(shown(member), " is no regular file"); });
    require(!found.contains(member), reader.name(), [&] { return text("has ", shown(member), " twice"); });
    require_size(size <= most,
                 [&] { return text(shown(member), " has ", size, " bytes, expected at most ", most); });
    found[member] = reader.bytes(size, member);
  }
  require_size(reader.ends_within(most_unpacked - reader.unpacked()),
               [&] { return text("unpacks to more than ", most_unpacked, " bytes, behind its last file"); });
  return found;
}

}  // namespace tapir
