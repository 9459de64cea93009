// Vocabularies and tokenizers: ids counted by hand, limits, round trips, files, and everything that is refused.
#include <doctest/doctest.h>

#include "datasets/text/text_file.h"
#include "datasets/text/tokenizer.h"
#include "tensor/sha256.h"
#include "tests/datasets/datasets_helpers.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

using Ids = std::vector<int32_t>;
using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("words are numbered by first appearance, and every line ends with <eos>") {
  const auto tokenizer = WordTokenizer::from_text(" \n = A b = \n\n b\tb c\v<unk>\n");
  CHECK(tokenizer.vocabulary().entries() == Words{"<eos>", "=", "A", "b", "c", "<unk>"});
  CHECK(tokenizer.size() == 6);
  CHECK(tokenizer.encode(" \n = A b = \n\n b\tb c\v<unk>\n") == Ids{0, 1, 2, 3, 1, 0, 0, 3, 3, 4, 5, 0});
  CHECK(tokenizer.encode("c A") == Ids{4, 2});        // no line end: a prompt
  CHECK(tokenizer.encode("  zebra\n") == Ids{5, 0});  // unknown
  CHECK(tokenizer.encode("").empty());
  CHECK(count_word_tokens(" \n = A b = \n\n b\tb c\v<unk>\n") == 12);
}

TEST_CASE("words decode to single spaces and line ends") {
  const auto tokenizer = WordTokenizer::from_text("a b\nc\n");
  CHECK(tokenizer.decode(Ids{0, 1, 2, 2, 3, 0}) == "a b\n\nc a");
  CHECK(tokenizer.decode(Ids{}) == "");
  const std::string text = "b a\n\nc c a\n";
  CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  CHECK(error_of([&] { tokenizer.decode(Ids{4}); }) == "vocabulary: expected an id in [0, 4), found 4");
  CHECK(error_of([&] { tokenizer.decode(Ids{-1}); }) == "vocabulary: expected an id in [0, 4), found -1");
}

TEST_CASE("an unknown word without <unk> is an error with its place") {
  const auto tokenizer = WordTokenizer::from_text("a b\n");
  CHECK(
      error_of([&] {
        tokenizer.encode("a\nb zebra\n", {"poem.txt", 7});
      }) ==
      "poem.txt: line 8: the word \"zebra\" is not in the training text; hint: max_types below 3 makes one unknown word of "
      "the rarest and of all others");
}

TEST_CASE("max_types keeps the most frequent words, <eos> and <unk>, in order of first appearance") {
  const std::string text = "x y z z y w\n";  // z 2, y 2, x 1, w 1, <eos> 1
  const auto entries = [&](const std::string& training, int64_t limit) {
    return WordTokenizer::from_text(training, limit).vocabulary().entries();
  };
  CHECK(entries(text, 0) == Words{"x", "y", "z", "w", "<eos>"});
  CHECK(entries(text, 5) == Words{"x", "y", "z", "w", "<eos>"});  // nothing to leave out
  CHECK(entries(text, 4) == Words{"y", "z", "<eos>", "<unk>"});
  CHECK(entries(text, 3) == Words{"y", "<eos>", "<unk>"});  // of equals the first
  CHECK(entries("<unk> x y z z y w\n", 5) == Words{"<unk>", "x", "y", "z", "<eos>"});
  CHECK(entries("x z z z z <unk>\n\n", 3) == Words{"z", "<unk>", "<eos>"});  // kept, though x is as frequent as <unk>
  CHECK(WordTokenizer::from_text(text, 4).encode(text) == Ids{3, 0, 1, 1, 0, 3, 2});
  std::string equals;
  Words expected;
  for (int i = 0; i < 100; ++i) {
    equals += tapir::text("w", i, " ");
    if (i < 48) expected.push_back(tapir::text("w", i));
  }
  expected.insert(expected.end(), {"<eos>", "<unk>"});
  CHECK(entries(equals + "\n", 50) == expected);
  for (const int64_t limit : {-1, 1, 2}) {
    CHECK(error_of([&] { entries(text, limit); }) ==
          tapir::text("vocabulary: expected max_types = 0 (no limit) or at least 3, found ", limit));
  }
}

TEST_CASE("characters are Unicode code points, numbered by first appearance") {
  const std::string text = "añ\n😀a\n";
  const auto tokenizer = CharacterTokenizer::from_text(text);
  CHECK(tokenizer.vocabulary().entries() == Words{"a", "ñ", "\n", "😀"});
  CHECK(tokenizer.encode(text) == Ids{0, 1, 2, 3, 0, 2});
  CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  CHECK(error_of([&] {
          tokenizer.encode("a\na\nañé", {"poem.txt", 4});
        }) ==
        "poem.txt: line 6: the character \"é\" is not in the training text; hint: max_types below 4 makes one unknown "
        "character of the rarest and of all others");
  CHECK(error_of([&] { tokenizer.encode("a\na\xFF"); }) == "text: line 2: expected UTF-8 text, found byte 0xff");
}

TEST_CASE("an unknown character becomes U+FFFD where the vocabulary has it") {
  const auto limited = CharacterTokenizer::from_text("aabbc\n", 3);
  CHECK(limited.vocabulary().entries() == Words{"a", "b", "\uFFFD"});
  CHECK(limited.decode(limited.encode("cab\n")) == "\uFFFDab\uFFFD");
  CHECK(CharacterTokenizer::from_text("a\uFFFD").encode("ax") == Ids{0, 1});
}

TEST_CASE("a malformed vocabulary is refused") {
  const auto words = [](Words entries) { return error_of([&] { WordTokenizer{entries}; }); };
  const auto characters = [](Words entries) { return error_of([&] { CharacterTokenizer{entries}; }); };
  CHECK(words({}) == "vocabulary: expected at least one entry, found none");
  CHECK(words({"<eos>", ""}) == "vocabulary: entry 1 is empty");
  CHECK(words({"<eos>", std::string("a\0b", 3)}) == "vocabulary: entry 1 has a NUL");
  CHECK(words({"a", "<eos>", "a"}) == "vocabulary: entries 0 and 2 are the same: \"a\"");
  CHECK(words({"<eos>", "a b"}) == "word vocabulary: entry 1 has white space: \"a b\"");
  CHECK(words({"<eos>", "a\xFF"}) == "word vocabulary: entry 1 is not UTF-8: \"a\\xff\"");
  CHECK(words({"a"}) == "word vocabulary: expected an entry <eos> for the end of a line, found none");
  CHECK(characters({"a", "bc"}) == "character vocabulary: entry 1 is not one character: \"bc\"");
  CHECK(characters({"\xC3"}) == "character vocabulary: entry 0 is not one character: \"\\xc3\"");
  CHECK(error_of([] { tokenizer_from_text("syllable", "a\n", 0); }) ==
        "tokenizer: expected tokens = \"word\", \"character\", \"bpe\", \"gpt2\" or \"wordpiece\", found \"syllable\"");
}

TEST_CASE("the digest depends on kind, entries and order") {
  const auto digest = [](Words entries) { return CharacterTokenizer(std::move(entries)).digest(); };
  using namespace std::string_literals;
  CHECK(digest({"a", "\n"}) == sha256_hex("character\0a\0\n\0"s));
  CHECK(digest({"a", "\n"}) != digest({"\n", "a"}));
  CHECK(WordTokenizer(Words{"<eos>"}).digest() == sha256_hex("word\0<eos>\0"s));
}

TEST_CASE("a saved tokenizer is loaded unchanged") {
  const TemporaryFolder folder;
  for (const char* kind : {"word", "character"}) {
    const auto tokenizer = tokenizer_from_text(kind, "quote\" back\\slash \u0001 tab\there \u2028 é 😀\r\n\n", 0);
    const auto loaded = load_tokenizer(folder.write("tokenizer.json", tokenizer_text(*tokenizer)));
    CHECK(loaded->kind() == kind);
    CHECK(loaded->vocabulary().entries() == tokenizer->vocabulary().entries());
    CHECK(loaded->digest() == tokenizer->digest());
  }
}

TEST_CASE("a malformed tokenizer file is refused in one line") {
  const TemporaryFolder folder;
  const std::string hint = "; hint: copy the file again from the run that saved it";
  const auto refused = [&](std::string_view contents) {
    const auto file = folder.write("tokenizer.json", contents);
    const std::string message = error_of([&] { load_tokenizer(file); });
    CAPTURE(message);
    REQUIRE(message.starts_with(file.string() + ": "));
    REQUIRE(message.ends_with(hint));
    CHECK(message.find('\n') == message.npos);
    return message.substr(file.string().size() + 2, message.size() - file.string().size() - 2 - hint.size());
  };
  const std::string expected = R"(expected exactly {"tokens": string, "entries": [strings], "sha256": string}, found )";
  CHECK(refused("[1]") == expected + "no object");
  CHECK(refused(R"({"tokens": "word"})") == expected + "no entries");
  CHECK(refused(R"({"tokens": "word", "entries": [], "sha256": "", "size": 3})") == expected + "the key \"size\"");
  CHECK(refused(R"({"tokens": 1, "entries": [], "sha256": ""})") == expected + "a tokens that is no string");
  CHECK(refused(R"({"tokens": "word", "entries": [], "sha256": null})") == expected + "a sha256 that is no string");
  CHECK(refused(R"({"tokens": "word", "entries": {}, "sha256": ""})") == expected + "entries that are no list");
  CHECK(refused(R"({"tokens": "word", "entries": ["a", 2], "sha256": ""})") == expected + "an entry that is no string");
  CHECK(refused(R"({"tokens": "word", "entries": ["a", "a"], "sha256": ""})") ==
        "vocabulary: entries 0 and 1 are the same: \"a\"");
  CHECK(refused(R"({"tokens": "byte", "entries": ["a"], "sha256": ""})") ==
        "tokens: expected \"word\", \"character\", \"bpe\" or \"wordpiece\", found \"byte\"");
  CHECK(refused(R"({"tokens": "character", "entries": ["a"], "sha256": "0"})") ==
        "sha256 is \"0\", expected " + CharacterTokenizer(Words{"a"}).digest() + " for these entries");
  CHECK(refused("{\"tokens\": \"" + std::string(1000, 'x')).size() < 200);

  // Every proper beginning of a good file is refused.
  const std::string good = tokenizer_text(*tokenizer_from_text("word", "a b\n", 0));
  for (size_t size = 1; size + 1 < good.size(); ++size) CHECK(refused(good.substr(0, size)).starts_with("is not JSON: "));
}
