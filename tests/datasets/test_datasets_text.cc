// Where data lie, UTF-8, and text files: what is read and what is refused.
#include <doctest/doctest.h>

#include "datasets/location.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tests/datasets/datasets_helpers.h"

using namespace tapir;
using namespace tapir::testing;

TEST_CASE("data_root is TAPIR_DATA, else ~/.cache/tapir") {
  const Environment home("HOME", "/home/someone");
  {
    const Environment data("TAPIR_DATA", "/data");
    CHECK(data_root() == "/data");
  }
  for (const char* unset : {static_cast<const char*>(nullptr), ""}) {
    const Environment data("TAPIR_DATA", unset);
    CHECK(data_root() == "/home/someone/.cache/tapir");
  }
  const Environment data("TAPIR_DATA", nullptr);
  const Environment homeless("HOME", nullptr);
  CHECK(error_of([] { data_root(); }) ==
        "data: neither TAPIR_DATA nor HOME is set; hint: set TAPIR_DATA to the folder of the data sets");
}

TEST_CASE("require_file gives the path, or says what is missing") {
  const TemporaryFolder folder;
  const auto file = folder.write("there.txt", "x");
  CHECK(require_file("poems", folder.path(), "there.txt", "") == file);
  CHECK(error_of([&] { require_file("poems", "/nowhere", "verse.txt", "write some"); }) ==
        "poems: /nowhere/verse.txt is missing; hint: write some");
}

TEST_CASE("utf8_length follows RFC 3629") {
  const auto length = [](std::string_view text) { return utf8_length(text, 0); };
  CHECK(length("a") == 1);
  CHECK(length("\xC2\x80") == 2);          // U+0080, the first of two bytes
  CHECK(length("\xDF\xBF") == 2);          // U+07FF
  CHECK(length("\xE0\xA0\x80") == 3);      // U+0800
  CHECK(length("\xED\x9F\xBF") == 3);      // U+D7FF, before the surrogates
  CHECK(length("\xEE\x80\x80") == 3);      // U+E000, after them
  CHECK(length("\xF0\x90\x80\x80") == 4);  // U+10000
  CHECK(length("\xF4\x8F\xBF\xBF") == 4);  // U+10FFFF, the last

  CHECK(length("\x80") == 0);              // a continuation byte
  CHECK(length("\xC0\x80") == 0);          // overlong NUL
  CHECK(length("\xC1\xBF") == 0);          // overlong U+007F
  CHECK(length("\xE0\x9F\xBF") == 0);      // overlong U+07FF
  CHECK(length("\xF0\x8F\xBF\xBF") == 0);  // overlong U+FFFF
  CHECK(length("\xED\xA0\x80") == 0);      // surrogate U+D800
  CHECK(length("\xED\xBF\xBF") == 0);      // surrogate U+DFFF
  CHECK(length("\xF4\x90\x80\x80") == 0);  // U+110000
  CHECK(length("\xF5\x80\x80\x80") == 0);
  CHECK(length("\xFF") == 0);
  CHECK(length("\xE2\x82") == 0);  // cut short
  CHECK(length("\xE2\x82q") == 0);
  CHECK_FALSE(first_invalid_utf8("aé€😀").has_value());
  CHECK(first_invalid_utf8("aé\xFFz") == 3);
}

TEST_CASE("characters that command a terminal") {
  for (const char* text : {"a\n", "\x1B[2J", "\x7F", "naïve\u0080", "\u009F"}) CHECK(has_control_character(text));
  CHECK(has_control_character(std::string_view("\0", 1)));
  for (const char* text : {"", " ~", "naïve", "\u00A0", "\u0440", "\U0001F600"}) CHECK_FALSE(has_control_character(text));
}

TEST_CASE("shown text is one short line") {
  CHECK(shown("naïve") == "\"naïve\"");
  CHECK(shown("a\nb\x1B\xFF\x7F") == "\"a\\x0ab\\x1b\\xff\\x7f\"");
  CHECK(shown("\u0080\u009F\u00A0") == "\"\\xc2\\x80\\xc2\\x9f\u00A0\"");
  CHECK(shown(std::string(60, 'a')) == "\"" + std::string(60, 'a') + "\"");
  CHECK(shown(std::string(61, 'a')) == "\"" + std::string(60, 'a') + "...\"");
}

TEST_CASE("a text file is read with \\n line ends and without byte order mark") {
  const TemporaryFolder folder;
  CHECK(read_text_file(folder.write("unix", "one\n\ntwo")) == "one\n\ntwo");
  CHECK(read_text_file(folder.write("windows", "\xEF\xBB\xBFone\r\n\r\ntwo\r\n")) == "one\n\ntwo\n");
  CHECK(read_text_file(folder.write("lone", "a\rb\r\r\n\r")) == "a\rb\r\n\r");
  const std::string long_text(200'000, 'x');  // more than one piece of the reader
  CHECK(read_text_file(folder.write("long", long_text)) == long_text);
  CHECK(read_file(folder.write("bytes", "\xFF\r\n")) == "\xFF\r\n");
}

TEST_CASE("what is not a text file is refused in one line") {
  const TemporaryFolder folder;
  const auto error = [](const std::filesystem::path& file) { return error_of([&] { read_text_file(file); }); };
  const auto refused = [&](std::string_view bytes) {
    const auto file = folder.write("refused", bytes);
    const std::string message = error(file);
    REQUIRE(message.starts_with(file.string() + ": "));
    return message.substr(file.string().size() + 2);
  };
  CHECK(refused("") == "expected text, found an empty file");
  CHECK(refused("\xEF\xBB\xBF") == "expected text, found an empty file");
  CHECK(refused("ab\ncd\xE9z\n") == "byte 5 (line 2): expected UTF-8 text, found 0xe9; hint: save the file as UTF-8");
  CHECK(refused("cut \xE2\x82") == "byte 4 (line 1): expected UTF-8 text, found 0xe2; hint: save the file as UTF-8");
  CHECK(refused("\xFF\xFEh") == "byte 0 (line 1): expected UTF-8 text, found 0xff; hint: save the file as UTF-8");
  CHECK(refused(std::string_view("a\r\nb\0c", 6)) ==
        "byte 4 (line 2): expected UTF-8 text, found 0x00; hint: is it a text file?");
  CHECK(error("/nowhere/a.txt") == "/nowhere/a.txt: no such file");
  CHECK(error(folder.path()) == folder.path().string() + ": expected a file, found a directory");
  CHECK(error("/dev/null") == "/dev/null: expected a regular file, found a device, pipe or socket");
  CHECK(error("/proc/self/mem") == "/proc/self/mem: cannot be read: Input/output error");
  const auto loop = folder.path() / "loop";
  std::filesystem::create_symlink(loop, loop);
  CHECK(error(loop) == loop.string() + ": cannot be read: Too many levels of symbolic links");
}
