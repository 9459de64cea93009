// Archives, written byte by byte: what is read, and every refusal.
#include <doctest/doctest.h>

#include "datasets/image/archive.h"
#include "datasets/text/text_file.h"
#include "tests/datasets/image_helpers.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

using Files = std::map<std::string, std::string>;

std::string refused(const std::filesystem::path& archive, const std::map<std::string, int64_t>& wanted) {
  const std::string error = error_of([&] { read_archive(archive, wanted); });
  REQUIRE(error.starts_with(archive.string() + ": "));
  CHECK(error.find('\n') == error.npos);
  return error.substr(archive.string().size() + 2);
}

}  // namespace

TEST_CASE("the files that are wanted come out of an archive, compressed or not, with the bytes that went in") {
  const TemporaryFolder folder;
  std::string long_file;
  for (int64_t i = 0; i < 200'000; ++i) long_file += static_cast<char>(i * i / 7);
  const std::string tar = tar_member("set/", "", '5') + tar_member("./set/a.bin", long_file) + tar_member("set/other", "no") +
                          tar_member("set//empty", "") + tar_member("a.bin", "another") + tar_end();
  const auto plain = folder.write("plain.tar", tar);
  for (const auto& archive : {plain, gzipped(plain)}) {
    CHECK(read_archive(archive, {{"set/a.bin", 200'000}, {"set/empty", 9}, {"set/none", 9}}) ==
          Files{{"set/a.bin", long_file}, {"set/empty", ""}});
    CHECK(read_archive(archive, {}).empty());
  }
}

TEST_CASE("an archive that is cut anywhere is refused, or has not all files") {
  const TemporaryFolder folder;
  const auto whole = gzipped(folder.write("whole.tar", tar_member("a", records(cifar_10(), 0, 2)) + tar_member("b", "bb")));
  std::string bytes = read_file(whole);
  const std::map<std::string, int64_t> wanted{{"a", 10'000}, {"b", 2}};
  CHECK(read_archive(whole, wanted).size() == 2);
  for (size_t size = 0; size < bytes.size(); size += size + 9 < bytes.size() ? 97 : 1) {   // 8: checksum and size
    const auto cut = folder.write("cut.tar.gz", bytes.substr(0, size));
    size_t found = 0;
    const std::string error = error_of([&] { found = read_archive(cut, wanted).size(); });
    CHECK(found < 2);
    CHECK((error.empty() || error.starts_with(cut.string() + ": cannot be read as a tar archive behind ")));
    if (size > 18) CHECK(!error.empty());
  }
  CHECK(refused(folder.write("short.tar", tar_member("a", "12345").substr(0, 515)), {{"a", 5}}) ==
        "cannot be read as a tar archive behind 515 bytes: Truncated tar archive; hint: is it complete? expected .tar.gz or "
        ".tar");
}

TEST_CASE("an archive of other bytes than its checksums are of is refused, whichever byte is another") {
  const TemporaryFolder folder;
  const std::string tar = tar_member("a", records(cifar_10(), 0, 2)) + tar_member("b", "bb");
  const std::map<std::string, int64_t> wanted{{"a", 10'000}};   // b is skipped
  const auto packed = [&](const std::string& bytes) { return read_file(gzipped(folder.write("x", bytes))); };
  const std::string whole = packed(tar + tar_end());
  const auto flipped = [&](std::string bytes, size_t at) {
    bytes[at] = static_cast<char>(bytes[at] ^ 4);
    return folder.write("flipped.tar.gz", bytes);
  };
  constexpr size_t header = 12;   // with the name x
  for (size_t at = header; at < whole.size(); at += at + 9 < whole.size() ? 61 : 1)
    CHECK(refused(flipped(whole, at), wanted).starts_with("cannot be read as a tar archive behind "));
  const std::string hint = "; hint: is it complete? expected .tar.gz or .tar";
  for (size_t at = 1; at <= 4; ++at) {
    CHECK(refused(flipped(whole, whole.size() - at), wanted).ends_with("bytes: incorrect length check" + hint));
    CHECK(refused(flipped(whole, whole.size() - 4 - at), wanted).ends_with("bytes: incorrect data check" + hint));
  }

  // Members of gzip, one after the other, are one file; each has its checksum.
  const std::string first = packed(tar.substr(0, 3000)), second = packed(tar.substr(3000) + tar_end());
  CHECK(read_archive(folder.write("two.tar.gz", first + second), wanted) == Files{{"a", records(cifar_10(), 0, 2)}});
  CHECK(refused(flipped(first + second, first.size() - 8), wanted).ends_with("bytes: incorrect data check" + hint));
  CHECK(refused(flipped(first + second, first.size() + second.size() - 8), wanted)
            .ends_with("bytes: incorrect data check" + hint));
}

TEST_CASE("what is no archive, and names, kinds and sizes that are hostile") {
  const TemporaryFolder folder;
  const auto archive = [&](const std::string& members) { return folder.write("one.tar", members + tar_end()); };
  CHECK(refused(folder.path() / "none", {}) == "no such file");
  CHECK(refused(folder.path(), {}) == "expected a file, found a directory");
  CHECK(refused(folder.write("text", "not an archive, but long enough to be looked at"), {})
            .starts_with("cannot be read as a tar archive behind"));
  for (const char* path : {"../a", "set/../../a", "/etc/passwd"})
    CHECK(refused(archive(tar_member("set/a", "1") + tar_member(path, "2")), {{"set/a", 1}}) ==
          text("has a file outside of its folder: \"", path, "\""));
  for (const char type : {'1', '2', '3', '5', '6'})
    CHECK(refused(archive(tar_member("a", "", type, "/etc/passwd")), {{"a", 1}}) == "\"a\" is no regular file");
  CHECK(refused(archive(tar_member("a", "1") + tar_member("./a", "2")), {{"a", 1}}) == "has \"a\" twice");
  CHECK(refused(archive(tar_member("a", "12")), {{"a", 1}}) ==
        "\"a\" has 2 bytes, expected at most 1; hint: is it a zip bomb?");
  CHECK(refused(archive(tar_member("b", "", '0', "", int64_t{1} << 32)), {{"a", 1}}) ==
        "unpacks to more than 67108866 bytes, at \"b\"; hint: is it a zip bomb?");
  CHECK(refused(gzipped(archive(tar_member("b", std::string(70'000'000, '\0')))), {}) ==   // 68 KB
        "unpacks to more than 67108864 bytes, at \"b\"; hint: is it a zip bomb?");
  std::string many = tar_member("b", std::string(40'000'000, '\0'));
  many += many;
  CHECK(refused(gzipped(archive(many)), {}).starts_with("unpacks to more than 67108864 bytes"));
  CHECK(refused(gzipped(archive(tar_member("b", "1") + tar_end() + std::string(70'000'000, '\0'))), {}) ==
        "unpacks to more than 67108864 bytes, behind its last file; hint: is it a zip bomb?");
}
