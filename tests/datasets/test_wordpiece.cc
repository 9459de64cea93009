// WordPiece: worked by hand, against the definition in scalar loops, and against Hugging Face's tokenizers and a second reading
// of BERT's (golden/wordpiece.py) on hostile strings, on every character and, where TAPIR_DATA has it, on WikiText-2.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "datasets/catalog.h"
#include "datasets/synthetic/grammar.h"
#include "datasets/text/corpus.h"
#include "datasets/text/pre_tokenizer.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "datasets/text/wordpiece.h"
#include "tensor/sha256.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/datasets/tokenizer_helpers.h"
#include "tests/skipped.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

const nlohmann::json& golden() {
  static const auto values = nlohmann::json::parse(std::ifstream(TAPIR_SOURCE_DIR "/tests/golden/wordpiece.json"));
  return values;
}

const Words& hostile_strings() {
  static const Words strings = hostile_strings_of(golden()["fragments"]);
  return strings;
}

Words bert_words(std::string_view text) {
  Words words;
  for_each_bert_word(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

Words wordpiece_words(std::string_view text) {
  Words words;
  for_each_wordpiece_word(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

Words characters_of(std::string_view text) {
  Words characters;
  for (size_t at = 0, length; at < text.size(); at += length) {
    length = utf8_length(text, at);
    characters.emplace_back(text.substr(at, length));
  }
  return characters;
}

std::string in_utf8(uint32_t c) {
  const auto byte = [&](uint32_t lead, uint32_t shift) { return static_cast<char>(lead | (c >> shift & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), byte(0x80, 0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), byte(0x80, 6), byte(0x80, 0)};
  return {static_cast<char>(0xF0 | c >> 18), byte(0x80, 12), byte(0x80, 6), byte(0x80, 0)};
}

// The ids of a word from the definition: for each place the longest piece, looked for among all entries.
Ids cut_by_definition(const Words& entries, const std::string& word) {
  const auto id_of = [&](const std::string& entry) {
    return static_cast<int32_t>(std::find(entries.begin(), entries.end(), entry) - entries.begin());
  };
  if (word == "[SEP]") return {id_of(word)};
  const Words characters = characters_of(word);
  Ids ids;
  for (size_t begin = 0, end; begin < characters.size() && characters.size() <= 100; begin = end) {
    for (end = characters.size(); end > begin; --end) {
      std::string piece = begin > 0 ? "##" : "";
      for (size_t i = begin; i < end; ++i) piece += characters[i];
      if (id_of(piece) == static_cast<int32_t>(entries.size())) continue;
      ids.push_back(id_of(piece));
      break;
    }
    if (end == begin) return {id_of("[UNK]")};
  }
  return ids.empty() ? Ids{id_of("[UNK]")} : ids;
}

Words entries_by_definition(std::string_view text, size_t size) {
  Words words = wordpiece_words(text), alphabet, entries{"[UNK]", "[SEP]"};
  std::erase_if(words, [](const std::string& word) { return word == "[UNK]" || word == "[SEP]"; });
  for (const std::string& word : words) {
    bool continues = false;
    for (const std::string& character : characters_of(word)) {
      alphabet.push_back(character);
      if (std::exchange(continues, true)) alphabet.push_back("##" + character);
    }
  }
  std::sort(alphabet.begin(), alphabet.end());
  alphabet.erase(std::unique(alphabet.begin(), alphabet.end()), alphabet.end());
  for (const bool continuing : {false, true})
    for (const std::string& entry : alphabet)
      if (entry.starts_with("##") == continuing) entries.push_back(entry);
  std::vector<Ids> pieces;
  for (const std::string& word : words) {
    pieces.emplace_back();
    for (const std::string& character : characters_of(word)) {
      const std::string entry = (pieces.back().empty() ? "" : "##") + character;
      pieces.back().push_back(static_cast<int32_t>(std::find(entries.begin(), entries.end(), entry) - entries.begin()));
    }
  }
  return learned_by_definition(entries, size, pieces,
                               [](const std::string& left, const std::string& right) { return left + right.substr(2); });
}

const WordPieceTokenizer& hostile_tokenizer() {
  static const WordPieceTokenizer tokenizer = train_wordpiece(joined(std::span(hostile_strings()).first(5000)), 3000);
  return tokenizer;
}

}  // namespace

TEST_CASE("a text is cut into words as BERT cuts it") {
  CHECK(bert_words("") == Words{});
  CHECK(bert_words(" \t\n\r\u00A0\u3000\u2028") == Words{});
  CHECK(bert_words("The cat's 12 naïve Cats... $5^2") ==
        Words{"The", "cat", "'", "s", "12", "naïve", "Cats", ".", ".", ".", "$", "5", "^", "2"});
  CHECK(bert_words("日本go한글かな") == Words{"日", "本", "go한글かな"});
  CHECK(bert_words("so\u00ADft\u200D ta\vb a\x01\uFFFD\uE000z") == Words{"soft", "tab", "az"});  // dropped
  CHECK(bert_words("e\u0301 £5 «x» …") == Words{"e\u0301", "£5", "«", "x", "»", "…"});
  CHECK(wordpiece_words("a<unk>b <un k>\n\n[UNK]<unk>") ==
        Words{"a", "[UNK]", "b", "<", "un", "k", ">", "[SEP]", "[SEP]", "[", "UNK", "]", "[UNK]"});
}

TEST_CASE("every character is a word's, a word, space or dropped as in a second reading of BERT") {
  const WordPieceTokenizer tokenizer({"[UNK]", "[SEP]", "a", "b", "##b"});
  Sha256 sha;
  for (uint32_t c = 0; c < 0x110000; ++c)
    if (c < 0xD800 || c >= 0xE000) add_ids(sha, tokenizer.encode("a" + in_utf8(c) + "b"));
  CHECK(sha.hex() == golden()["character_ids"].get<std::string>());
}

TEST_CASE("a WordPiece vocabulary is learned as worked by hand") {
  // ab twice, abc once, bc twice: (a, ##b) 3 times, (b, ##c) twice, (##b, ##c) once; then (ab, ##c) once.
  const Words begin{"[UNK]", "[SEP]", ",", "a", "b", "c", "##b", "##c"}, learned{"ab", "bc", "abc"};
  for (size_t merges = 0; merges <= learned.size(); ++merges) {
    Words expected = begin;
    expected.insert(expected.end(), learned.begin(), learned.begin() + static_cast<int64_t>(merges));
    CHECK(train_wordpiece("ab ab abc\nbc,bc", static_cast<int64_t>(8 + merges)).vocabulary().entries() == expected);
  }
  CHECK(train_wordpiece("ab ab abc\nbc,bc", 1000).size() == 11);  // there is no more to learn
  CHECK(train_wordpiece("zw <unk>xy", 9).vocabulary().entries() ==
        Words{"[UNK]", "[SEP]", "w", "x", "y", "z", "##w", "##y", "xy"});  // of equals the smaller left id
  CHECK(train_wordpiece("\n<unk>", 2).vocabulary().entries() == Words{"[UNK]", "[SEP]"});
  CHECK(error_of([] { train_wordpiece("ab ab abc\nbc,bc", 7); }) ==
        "wordpiece: expected max_types of at least 8, for [UNK], [SEP], the 4 characters of the training text and the 2 that "
        "continue a word, found 7");
  CHECK(error_of([] { tokenizer_from_text("wordpiece", "a", 0); }) ==
        "tokenizer: the kind \"wordpiece\" needs max_types, the size of its vocabulary");
}

TEST_CASE("words are cut as worked by hand") {
  const WordPieceTokenizer tokenizer({"[UNK]", "[SEP]", "un", "##aff", "##able", "##a", "a", "#", "u", "é", "##é"});
  CHECK(tokenizer.encode("unaffable\n") == Ids{2, 3, 4, 1});
  CHECK(tokenizer.encode("unaable") == Ids{2, 5, 4});
  CHECK(tokenizer.encode("unaffab") == Ids{0});   // the longest piece first: never back to ##a
  CHECK(tokenizer.encode("una Una a<unk>a") == Ids{2, 5, 0, 6, 0, 6});
  CHECK(tokenizer.encode("##a") == Ids{7, 7, 6});  // in a text # is a word
  CHECK(tokenizer.encode("u\xFFn\u0001a éé") == Ids{2, 5, 9, 10});
  for (const auto& [unit, first, next] : {std::tuple("a", 6, 5), std::tuple("é", 9, 10)}) {
    std::string word;
    for (int i = 0; i < 100; ++i) word += unit;
    Ids expected(100, next);
    expected[0] = first;
    CHECK(tokenizer.encode(word) == expected);
    CHECK(tokenizer.encode(word + unit) == Ids{0});
  }
  CHECK(tokenizer.decode(Ids{2, 3, 1, 1, 0, 5, 7, 1, 4, 6}) == "unaff\n\n<unk>a #\nable a");
  CHECK(tokenizer.decode(Ids{5}) == "a");
  CHECK(tokenizer.decode(Ids{}) == "");
  CHECK(tokenizer.decodable(" a  b.c<unk>\n\u00ADd\n") == "a b . c <unk>\nd\n");
  CHECK(error_of([&] { tokenizer.decode(Ids{11}); }) == "vocabulary: expected an id in [0, 11), found 11");
}

TEST_CASE("WordPiece: training and encoding follow their definitions") {
  std::string text = generated_articles(7, 300) + "aa aaaa aaa zz yy xx\n";
  for (size_t i = 0; i < 60; ++i) text += replace_invalid_utf8(hostile_strings()[i]);
  const size_t begin = entries_by_definition(text, 0).size();
  for (const size_t size : {begin, begin + 1, begin + 300, size_t{100'000}})
    CHECK(train_wordpiece(text, static_cast<int64_t>(size)).vocabulary().entries() == entries_by_definition(text, size));
  const WordPieceTokenizer tokenizer = train_wordpiece(text, static_cast<int64_t>(begin + 100));
  for (size_t i = 0; i < 500; ++i) {
    const std::string& string = hostile_strings()[i];
    Ids expected;
    for (const std::string& word : wordpiece_words(replace_invalid_utf8(string))) {
      const Ids ids = cut_by_definition(tokenizer.vocabulary().entries(), word);
      expected.insert(expected.end(), ids.begin(), ids.end());
    }
    REQUIRE(tokenizer.encode(string) == expected);
  }
}

TEST_CASE("WordPiece: decode gives back what can be given back, and a beginning for the first ids") {
  const WordPieceTokenizer& tokenizer = hostile_tokenizer();
  size_t known = 0;
  for (const std::string& string : hostile_strings()) {
    const std::string text = replace_invalid_utf8(string);
    const Ids ids = tokenizer.encode(string);
    const std::string decoded = tokenizer.decode(ids);
    REQUIRE(tokenizer.encode(decoded) == ids);
    const Words words = wordpiece_words(text);
    const bool knows_all = std::count(ids.begin(), ids.end(), 0) == std::count(words.begin(), words.end(), "[UNK]");
    REQUIRE((decoded == tokenizer.decodable(text)) == knows_all);
    known += knows_all;
    for (size_t size = 0; size < ids.size(); size += 7)
      REQUIRE(decoded.starts_with(tokenizer.decode(std::span(ids).first(size))));
  }
  CHECK(known > 5000);
  CHECK(known < 10'000);
}

TEST_CASE("WordPiece: the vocabulary and the ids of the reference on hostile strings") {
  CHECK(sha256_hex(joined(hostile_strings())) == golden()["hostile_bytes"].get<std::string>());
  CHECK(digest_of_entries(hostile_tokenizer()) == golden()["hostile_entries_3000"].get<std::string>());
  Sha256 sha;
  for (const std::string& string : hostile_strings()) add_ids(sha, hostile_tokenizer().encode(string));
  CHECK(sha.hex() == golden()["hostile_ids"].get<std::string>());
}

TEST_CASE("WordPiece: the vocabulary and the ids of the reference on WikiText-2, of which nothing is lost") {
  if (testing::lacks(data_sets().front().folder())) return;
  CorpusSpec spec;
  spec.tokens = "wordpiece";
  spec.max_types = 8000;
  const TextCorpus corpus = read_corpus(spec);
  CHECK(digest_of_entries(*corpus.tokenizer) == golden()["wikitext2_entries_8000"].get<std::string>());
  Sha256 sha;
  for (const Ids* ids : {&corpus.train, &corpus.valid, &corpus.test}) add_ids(sha, *ids);
  CHECK(sha.hex() == golden()["wikitext2_ids"].get<std::string>());
  CHECK(std::tuple(corpus.train.size(), corpus.valid.size(), corpus.test.size()) == std::tuple(2'633'628, 265'225, 299'577));
  CHECK(corpus.valid_text.lossless);
  CHECK(corpus.test_text.lossless);
  CHECK(corpus.valid_text.words == 217'646);
}

TEST_CASE("WordPiece: a text is told apart where a word is unknown, or too long") {
  const TemporaryFolder folder;
  const auto corpus = [&](const std::string& valid, int64_t limit = 0) {
    folder.write("train.txt", "abc cab, (bca) <unk> . " + std::string(101, 'a') + "\n");
    folder.write("valid.txt", valid);
    folder.write("test.txt", "a\n");
    CorpusSpec spec;
    spec.kind = "file";
    spec.path = folder.path();
    spec.tokens = "wordpiece";
    spec.max_types = 20;
    spec.limits.valid = limit;
    return read_corpus(spec);
  };
  const std::string text = "  abc  cab.(abc)<unk>\n\n";   // what white space and punctuation lose is no type
  const auto known = corpus(text);
  CHECK(known.valid_text.lossless);
  CHECK(known.valid_text.bytes == static_cast<int64_t>(text.size()));
  CHECK(known.valid_text.words == 4);
  CHECK(known.tokenizer->decode(known.valid) == "abc cab . ( abc ) <unk>\n\n");
  CHECK(!corpus("abd\n").valid_text.lossless);
  CHECK(!corpus(std::string(101, 'a') + "\n").valid_text.lossless);
  const auto cut = corpus("a b.c abd\n", 3);
  CHECK(cut.valid_text.lossless);
  CHECK(cut.valid_text.bytes == 5);   // "a b ."
}

TEST_CASE("a malformed vocabulary of WordPieces is refused") {
  const auto refused = [](const Words& more, Words entries = {"[UNK]", "[SEP]"}) {
    entries.insert(entries.end(), more.begin(), more.end());
    return error_of([&] { WordPieceTokenizer{entries}; });
  };
  CHECK(refused({"a", "##a", "#", "##é", "中", "the", "."}) == "");
  CHECK(refused({}, {"[SEP]"}) == "wordpiece vocabulary: expected an entry [UNK] for what is unknown, found none");
  CHECK(refused({}, {"[UNK]"}) == "wordpiece vocabulary: expected an entry [SEP] for the end of a line, found none");
  CHECK(refused({"a", "a"}) == "vocabulary: entries 2 and 3 are the same: \"a\"");
  CHECK(refused({""}) == "vocabulary: entry 2 is empty");
  CHECK(refused({"a\xFF"}) == "wordpiece vocabulary: entry 2 is not UTF-8: \"a\\xff\"");
  for (const std::string entry : {"##", "###", "##.", "##中", "##a b", "##[UNK]", "a b", "a ", "a.", "..", "中中", "<unk>",
                                  "[CLS]", "a\u00AD", "\uFFFD", " "})
    CHECK(refused({"a", entry}) == "wordpiece vocabulary: entry 3 is no piece of a word: " + shown(entry));
}

TEST_CASE("a saved vocabulary of WordPieces is loaded unchanged") {
  const TemporaryFolder folder;
  const auto tokenizer = tokenizer_from_text("wordpiece", generated_articles(1, 200), 400);
  const auto loaded = load_tokenizer(folder.write("tokenizer.json", tokenizer_text(*tokenizer)));
  CHECK(loaded->kind() == "wordpiece");
  CHECK(loaded->digest() == tokenizer->digest());
  for (size_t i = 0; i < 100; ++i) CHECK(loaded->encode(hostile_strings()[i]) == tokenizer->encode(hostile_strings()[i]));
}
