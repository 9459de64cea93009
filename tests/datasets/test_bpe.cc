// Byte pair encoding: worked by hand, against the definition in scalar loops, and against Hugging Face's tokenizers
// (golden/bpe.py) on hostile strings and, where TAPIR_DATA has them, on GPT-2's files and WikiText-2.
#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "datasets/catalog.h"
#include "datasets/location.h"
#include "datasets/synthetic/grammar.h"
#include "datasets/text/bpe.h"
#include "datasets/text/pre_tokenizer.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tensor/sha256.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/datasets/tokenizer_helpers.h"
#include "tests/skipped.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

const nlohmann::json& golden() {
  static const auto values = nlohmann::json::parse(std::ifstream(TAPIR_SOURCE_DIR "/tests/golden/bpe.json"));
  return values;
}

const Words& hostile_strings() {
  static const Words strings = hostile_strings_of(golden()["fragments"]);
  return strings;
}

Words runs_of_a_mebibyte() {
  Words runs;
  for (const std::string digits : golden()["runs"]) {
    const std::string unit = from_hexadecimal(digits);
    std::string& run = runs.emplace_back();
    while (run.size() + unit.size() <= 1 << 20) run += unit;
  }
  return runs;
}

Words pieces_of(std::string_view text) {
  Words pieces;
  for_each_piece(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

// The ids of a piece from the definition: of all neighbours that merge, those of the earliest merge, from left to right.
Ids merged_by_definition(const BpeTokenizer& tokenizer, Ids ids) {
  while (true) {
    int32_t earliest = -1;
    for (size_t i = 1; i < ids.size(); ++i) {
      const int32_t id = tokenizer.merged(ids[i - 1], ids[i]);
      if (id >= 0 && (earliest < 0 || id < earliest)) earliest = id;
    }
    if (earliest < 0) return ids;
    Ids next;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool joins = i + 1 < ids.size() && tokenizer.merged(ids[i], ids[i + 1]) == earliest;
      next.push_back(joins ? earliest : ids[i]);
      i += joins;
    }
    ids = next;
  }
}

Words entries_by_definition(std::string_view text, size_t size) {
  const BpeTokenizer bytes(byte_entries());
  std::vector<Ids> pieces;
  for_each_piece(text, [&](std::string_view piece) { pieces.push_back(bytes.encode(piece)); });
  return learned_by_definition(byte_entries(), size, pieces, std::plus<std::string>());
}

const BpeTokenizer& gpt2() {
  static const BpeTokenizer tokenizer = read_gpt2_tokenizer(data_root() / "gpt2-bpe");
  return tokenizer;
}

}  // namespace

TEST_CASE("bytes that are not UTF-8 are replaced as Python replaces them") {
  const auto replaced = [](std::string_view bytes) {  // R for U+FFFD
    std::string text = replace_invalid_utf8(bytes);
    for (size_t at; (at = text.find("\uFFFD")) != text.npos;) text.replace(at, 3, "R");
    return text;
  };
  CHECK(replace_invalid_utf8("aé€😀") == "aé€😀");
  CHECK(replaced("\xFF\x80z") == "RRz");
  CHECK(replaced("\xC0\xAF") == "RR");  // overlong
  CHECK(replaced("\xE0\x80\x80") == "RRR");
  CHECK(replaced("\xED\xA0\x80") == "RRR");  // surrogate
  CHECK(replaced("\xE2\x82") == "R");        // the beginning of a character is one
  CHECK(replaced("\xE2\x82q\xE2q") == "RqRq");
  CHECK(replaced("\xF0\x9F\x98\xF0\x9F\xF0") == "RRR");
  CHECK(replaced("\xF0\x8F\x80\x80") == "RRRR");
  CHECK(replaced("\xF4\x90\x80\x80") == "RRRR");  // above U+10FFFF
  CHECK(replaced("\xF1\x80\xE2\x82") == "RR");
  CHECK(replaced("\xF8\x88\x80\x80\x80") == "RRRRR");
}

TEST_CASE("a text is cut into pieces as GPT-2 cuts it") {
  CHECK(pieces_of("") == Words{});
  CHECK(pieces_of("The cat's 12 naïve cats'll  run...\n\n") ==
        Words{"The", " cat", "'s", " 12", " naïve", " cats", "'ll", " ", " run", "...", "\n\n"});
  CHECK(pieces_of("it'S 'dog' a1b!?c") == Words{"it", "'", "S", " '", "dog", "'", " a", "1", "b", "!?", "c"});
  CHECK(pieces_of("a\t\tb\u00A0\u3000c \r\nd  ") ==
        Words{"a", "\t", "\t", "b", "\u00A0", "\u3000", "c", " \r", "\n", "d", "  "});
  CHECK(pieces_of("a\u180E\u180Eb\u200Bc\x1C") ==
        Words{"a", "\u180E\u180E", "b", "\u200B", "c", "\x1C"});  // no white space
  CHECK(pieces_of("e\u0301 ²٣Ⅷ") == Words{"e", "\u0301", " ²٣Ⅷ"});
  CHECK(pieces_of(std::string("a\0b", 3)) == Words{"a", std::string(1, '\0'), "b"});
  for (const std::string& string : hostile_strings()) {
    const std::string text = replace_invalid_utf8(string);
    std::string again;
    for_each_piece(text, [&](std::string_view piece) { again += piece; });
    REQUIRE(again == text);
  }
}

TEST_CASE("a vocabulary is learned as worked by hand") {
  // aaabdaaabac: aa occurs 4 times. aa a b d aa a b a c: (aa, a) and (a, b) twice, and a comes before aa. aa ab d aa ab a
  // c: (aa, ab) twice. aaab d aaab a c: all once, of them (a, c) is the smallest. Then (d, aaab), and so on until one is
  // left.
  const Words learned{"aa", "ab", "aaab", "ac", "daaab", "aaabdaaab", "aaabdaaabac"};
  for (size_t merges = 0; merges <= learned.size(); ++merges) {
    Words expected = byte_entries();
    expected.insert(expected.end(), learned.begin(), learned.begin() + static_cast<int64_t>(merges));
    CHECK(train_bpe("aaabdaaabac", static_cast<int64_t>(256 + merges)).vocabulary().entries() == expected);
  }
  const BpeTokenizer whole = train_bpe("aaabdaaabac", 1000);  // there is no more to learn
  CHECK(whole.size() == 263);
  CHECK(whole.merges() == 7);
  CHECK(whole.encode("aaabdaaabac") == Ids{262});
  CHECK(whole.encode("aaaab") == Ids{256, 256, 65});
  CHECK(whole.encode("abab ac") == Ids{257, 257, 220, 259});
  CHECK(train_bpe("", 300).size() == 256);
  CHECK(error_of([] { train_bpe("a", 255); }) ==
        "bpe: expected a vocabulary of 256 (the bytes alone) to 2^31 entries, found 255");
}

TEST_CASE("training and encoding follow their definitions") {
  std::string text = generated_articles(7, 300);
  for (size_t i = 0; i < 300; ++i) text += hostile_strings()[i];
  text = replace_invalid_utf8(text);
  const BpeTokenizer tokenizer = train_bpe(text, 500);
  CHECK(tokenizer.vocabulary().entries() == entries_by_definition(text, 500));
  CHECK(tokenizer.merges() == 244);
  const BpeTokenizer bytes(byte_entries());
  for (const std::string& string : {text, std::string(101, 'a'), std::string(64, ' ')}) {
    Ids expected;
    for_each_piece(string, [&](std::string_view piece) {
      const Ids ids = merged_by_definition(tokenizer, bytes.encode(piece));
      expected.insert(expected.end(), ids.begin(), ids.end());
    });
    CHECK(tokenizer.encode(string) == expected);
  }
}

TEST_CASE("what an entry cannot be split into by the merges before it is never made") {
  Words entries = byte_entries();
  entries.insert(entries.end(), {"abc", "ab", "abcd"});  // abc comes before ab: three tokens, no merge
  const BpeTokenizer tokenizer(entries);
  CHECK(tokenizer.merges() == 1);
  CHECK(tokenizer.merged(64, 65) == 257);
  CHECK(tokenizer.merged(257, 66) == -1);
  CHECK(tokenizer.encode("abcd") == Ids{257, 66, 67});
  CHECK(tokenizer.decode(Ids{256, 258}) == "abcabcd");
}

TEST_CASE("decode undoes encode, and is UTF-8 whatever the ids") {
  const BpeTokenizer tokenizer = train_bpe("naïve 😀😀 text\n", 270);
  for (const std::string& string : hostile_strings())
    REQUIRE(tokenizer.decode(tokenizer.encode(string)) == replace_invalid_utf8(string));
  const Ids ids = tokenizer.encode("é");
  REQUIRE(ids.size() == 2);
  CHECK(tokenizer.decode(Ids{ids[0]}) == "\uFFFD");
  CHECK(tokenizer.decode(Ids{ids[1], ids[0], ids[1]}) == "\uFFFDé");
  CHECK(error_of([&] { tokenizer.decode(Ids{270}); }) == "vocabulary: expected an id in [0, 270), found 270");
  CHECK(error_of([&] { tokenizer.decode(Ids{-1}); }) == "vocabulary: expected an id in [0, 270), found -1");
}

TEST_CASE("hostile strings: the bytes, the text and the vocabulary of the reference") {
  const Words& strings = hostile_strings();
  CHECK(sha256_hex(joined(strings)) == golden()["hostile_bytes"].get<std::string>());
  Words texts;
  for (const std::string& string : strings) texts.push_back(replace_invalid_utf8(string));
  CHECK(digest_of_entries(train_bpe(joined(texts), 1000)) == golden()["hostile_entries_1000"].get<std::string>());
  for (const std::string& run : runs_of_a_mebibyte()) texts.push_back(replace_invalid_utf8(run));
  CHECK(sha256_hex(joined(texts)) == golden()["hostile_text"].get<std::string>());
}

TEST_CASE("GPT-2: the ids of the reference on hostile strings and on runs of 1 MiB") {
  if (testing::lacks(data_root() / "gpt2-bpe")) return;
  CHECK(gpt2().size() == 50'257);
  CHECK(gpt2().merges() == 50'000);
  CHECK(gpt2().decode(Ids{50'256}) == "<|endoftext|>");
  CHECK(gpt2().encode("Hello world") == Ids{15496, 995});
  CHECK(gpt2().encode("<|endoftext|>").size() == 7);  // a text cannot end a document
  Sha256 sha;
  for (const Words& strings : {hostile_strings(), runs_of_a_mebibyte()})
    for (const std::string& string : strings) {
      const Ids ids = gpt2().encode(string);
      add_ids(sha, ids);
      if (string.size() < 100'000) REQUIRE(gpt2().decode(ids) == replace_invalid_utf8(string));
    }
  CHECK(sha.hex() == golden()["hostile_ids"].get<std::string>());
}

TEST_CASE("GPT-2 and training: the ids and the vocabulary of the reference on WikiText-2") {
  const DataSet& wikitext = data_sets().front();
  if (testing::lacks(data_root() / "gpt2-bpe") || testing::lacks(wikitext.folder())) return;
  Sha256 sha;
  for (const KnownFile& file : wikitext.files) add_ids(sha, gpt2().encode(read_file(wikitext.folder() / file.name)));
  CHECK(sha.hex() == golden()["wikitext2_ids"].get<std::string>());
  const BpeTokenizer learned = train_bpe(read_file(wikitext.folder() / wikitext.files[0].name), 8256);
  CHECK(digest_of_entries(learned) == golden()["wikitext2_entries_8256"].get<std::string>());
}

TEST_CASE("a malformed vocabulary of byte pairs is refused") {
  const auto refused = [](const Words& more, size_t bytes = 256) {
    Words entries = byte_entries();
    entries.resize(bytes);
    entries.insert(entries.end(), more.begin(), more.end());
    return error_of([&] { BpeTokenizer{entries}; });
  };
  CHECK(refused({"Ġthe"}) == "");
  CHECK(refused({"Ġthe", "a b"}) == "bpe vocabulary: entry 257 has the character \" \", which stands for no byte");
  CHECK(refused({"a€"}) == "bpe vocabulary: entry 256 has the character \"€\", which stands for no byte");
  CHECK(refused({"a\xFF"}) == "bpe vocabulary: entry 256 has the character \"\\xff\", which stands for no byte");
  CHECK(refused({}, 255) == "bpe vocabulary: expected every byte among the entries, found no \"Ń\" for 0xad");
  CHECK(refused({"aa", "aa"}) == "vocabulary: entries 256 and 257 are the same: \"aa\"");
  CHECK(error_of([] { tokenizer_from_text("bpe", "a", 0); }) ==
        "tokenizer: the kind \"bpe\" needs max_types, the size of its vocabulary");
  CHECK(error_of([] { tokenizer_from_text("gpt2", "a", 7); }) ==
        "tokenizer: the vocabulary of \"gpt2\" is fixed: expected max_types = 0, found 7");
}

TEST_CASE("a saved vocabulary of byte pairs is loaded unchanged") {
  const TemporaryFolder folder;
  const auto tokenizer = tokenizer_from_text("bpe", generated_articles(1, 200), 400);
  const auto loaded = load_tokenizer(folder.write("tokenizer.json", tokenizer_text(*tokenizer)));
  CHECK(loaded->kind() == "bpe");
  CHECK(loaded->digest() == tokenizer->digest());
  for (size_t i = 0; i < 100; ++i) CHECK(loaded->encode(hostile_strings()[i]) == tokenizer->encode(hostile_strings()[i]));
}

TEST_CASE("GPT-2's files, damaged, are refused with file and byte") {
  const TemporaryFolder folder;
  const std::string root = folder.path().string();
  const std::string hint = "; hint: put the files encoder.json and vocab.bpe of GPT-2 there, as OpenAI published them";
  nlohmann::ordered_json encoder;
  for (const std::string& entry : byte_entries()) encoder[entry] = encoder.size();
  encoder["he"] = 256;
  encoder["the"] = 257;
  encoder["<end>"] = 258;
  const std::string json = encoder.dump(), merges = "#version: 0.2\nh e\nt he\n";
  const auto refused = [&](const std::string& encoder_json, const std::string& vocab_bpe) {
    folder.write("encoder.json", encoder_json);
    folder.write("vocab.bpe", vocab_bpe);
    const std::string message = error_of([&] { read_gpt2_tokenizer(folder.path()); });
    if (message.empty()) return message;
    REQUIRE(message.starts_with(root + "/"));
    REQUIRE(message.ends_with(hint));
    CHECK(message.find('\n') == message.npos);
    return message.substr(root.size() + 1, message.size() - root.size() - 1 - hint.size());
  };
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string copy = json;
    return copy.replace(copy.find(from), from.size(), to);
  };
  CHECK(error_of([&] { read_gpt2_tokenizer(folder.path()); }) == "gpt2: " + root + "/encoder.json is missing" + hint);
  CHECK(refused(json, merges) == "");
  CHECK(refused(json, "h e\nt he") == "");
  CHECK(read_gpt2_tokenizer(folder.path()).encode("the") == Ids{257});
  CHECK(refused(json, "h e\n") == "vocab.bpe: byte 4: expected 2 merges, found 1");
  CHECK(refused(json, "h e\nthe\n") == "vocab.bpe: byte 4: expected two entries, found \"the\"");
  CHECK(refused(json, "t he\nh e\n") ==
        "vocab.bpe: byte 5: expected the merge of an entry after 257 of encoder.json, found \"h e\"");
  CHECK(refused(json, "h e\nt h e\n") ==
        "vocab.bpe: byte 4: expected the merge of an entry after 256 of encoder.json, found \"t h e\"");
  CHECK(refused(json, "h e\nth e\n").starts_with("vocab.bpe: byte 4: expected the merge"));
  CHECK(refused("[1]", merges) == "encoder.json: byte 1: expected {\"entry\": id, …}, found a list");
  CHECK(refused("7", merges) == "encoder.json: byte 1: expected {\"entry\": id, …}, found 7");
  CHECK(refused(R"({"a": {}})", merges) == "encoder.json: byte 7: expected {\"entry\": id, …}, found an object");
  CHECK(refused(R"({"a": null})", merges) == "encoder.json: byte 10: expected {\"entry\": id, …}, found null");
  CHECK(refused(R"({"a": true})", merges) == "encoder.json: byte 10: expected {\"entry\": id, …}, found true or false");
  CHECK(refused(R"({"a": -1})", merges) == "encoder.json: byte 9: expected {\"entry\": id, …}, found -1");
  CHECK(refused(R"({"a": 1.5})", merges) == "encoder.json: byte 10: expected {\"entry\": id, …}, found 1.5");
  CHECK(refused(R"({"a": "b"})", merges) == "encoder.json: byte 9: expected {\"entry\": id, …}, found \"b\"");
  CHECK(refused(R"({"a": 4294967296})", merges) == "encoder.json: byte 17: expected {\"entry\": id, …}, found 4294967296");
  CHECK(refused(R"({"a": 1})", merges) == "encoder.json: byte 4: expected an id in [0, 1), one for each entry, found 1");
  CHECK(refused(R"({"a": 0, "b": 0})", merges) ==
        "encoder.json: byte 12: expected an id and an entry of its own, found 0 for \"b\"");
  CHECK(refused(R"({"": 0})", merges) == "encoder.json: byte 3: expected an id and an entry of its own, found 0 for \"\"");
  CHECK(refused(changed("\"!\"", "\"!!\""), merges) ==
        "encoder.json: bpe vocabulary: expected every byte among the entries, found no \"!\" for 0x21");
  for (size_t size = 0; size < json.size(); size += 37)
    CHECK(refused(json.substr(0, size), merges).starts_with(text("encoder.json: byte ")));
  std::filesystem::remove(folder.path() / "vocab.bpe");
  folder.write("encoder.json", json);
  CHECK(error_of([&] { read_gpt2_tokenizer(folder.path()); }) == "gpt2: " + root + "/vocab.bpe is missing" + hint);
}
