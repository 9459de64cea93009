// Corpora: how a text file is cut, limits, every refusal; and, where TAPIR_DATA has it, the real WikiText-2 against ids and
// digests computed by a separate Python script (str.split, dict).
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "datasets/catalog.h"
#include "datasets/location.h"
#include "datasets/synthetic/grammar.h"
#include "datasets/text/corpus.h"
#include "datasets/text/text_file.h"
#include "tensor/sha256.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/skipped.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

using Ids = std::vector<int32_t>;

CorpusSpec spec_of(const std::string& kind) {
  CorpusSpec spec;
  spec.kind = kind;
  return spec;
}

CorpusSpec file_spec(const std::filesystem::path& path, const std::string& tokens = "word") {
  CorpusSpec spec = spec_of("file");
  spec.path = path;
  spec.tokens = tokens;
  return spec;
}

std::string refused(const CorpusSpec& spec) {
  return error_of([&] { read_corpus(spec); });
}

std::string digest(const Ids& ids) { return sha256_hex(std::as_bytes(std::span(ids))); }

// `lines` lines "w1", "w2", ..., "w9", "w1", ...
std::string numbered_lines(int lines) {
  std::string text;
  for (int i = 0; i < lines; ++i) text += tapir::text("w", i % 9 + 1, "\n");
  return text;
}

const DataSet& wikitext(size_t index) { return data_sets()[index]; }

bool lacks_wikitext_2() { return testing::lacks(wikitext(0).folder()); }

}  // namespace

TEST_CASE("a text file is cut into 90, 5 and 5 percent of its lines") {
  const TemporaryFolder folder;
  for (const char* end : {"", "\n"}) {
    const std::string text = numbered_lines(20);  // the last line is "w2"
    const auto corpus = read_corpus(file_spec(folder.write("text", text.substr(0, text.size() - 1) + end)));
    CHECK(corpus.train.size() == 36);
    CHECK(corpus.tokenizer->decode(corpus.train) == numbered_lines(18));
    CHECK(corpus.tokenizer->decode(corpus.valid) == "w1\n");
    CHECK(corpus.tokenizer->decode(corpus.test) == "w2\n");
  }
  const auto corpus = read_corpus(file_spec(folder.write("text", numbered_lines(59)), "character"));
  CHECK(std::tuple(corpus.train.size(), corpus.valid.size(), corpus.test.size()) == std::tuple(53 * 3, 3 * 3, 3 * 3));
  CHECK(corpus.tokenizer->decode(corpus.valid) == "w9\nw1\nw2\n");
}

TEST_CASE("a folder has its parts in three files") {
  const TemporaryFolder folder;
  folder.write("train.txt", "a b\nc");
  folder.write("valid.txt", "b");
  const auto error = refused(file_spec(folder.path()));
  CHECK(error == "data.path: " + (folder.path() / "test.txt").string() +
                     " is missing; hint: a folder has the parts train.txt, valid.txt and test.txt; or name one text file");
  folder.write("test.txt", "c a\n");
  const auto corpus = read_corpus(file_spec(folder.path()));
  CHECK(corpus.train == Ids{0, 1, 2, 3, 2});
  CHECK(corpus.valid == Ids{1, 2});
  CHECK(corpus.test == Ids{3, 0, 2});
}

TEST_CASE("limits cut the ids, not the vocabulary; max_types limits the vocabulary") {
  const TemporaryFolder folder;
  auto spec = file_spec(folder.write("text", numbered_lines(40)));
  spec.limits = {5, 1, 1000};
  const auto corpus = read_corpus(spec);
  CHECK(corpus.train == Ids{0, 1, 2, 1, 3});
  CHECK(corpus.valid.size() == 1);
  CHECK(corpus.test.size() == 4);
  CHECK(corpus.tokenizer->size() == 10);
  spec.max_types = 4;
  CHECK(read_corpus(spec).tokenizer->vocabulary().entries() == std::vector<std::string>{"w1", "<eos>", "w2", "<unk>"});
}

TEST_CASE("what ids stand for is measured in bytes and words of the text, and told apart where a type is unknown") {
  const TemporaryFolder folder;
  const std::string valid = "a  b \n <unk> a\n";   // two spaces, spaces at ends: a word's decoder writes one
  folder.write("train.txt", "a b <unk>\nb a\n");
  folder.write("valid.txt", valid);
  folder.write("test.txt", "a ab\n");
  const auto words = read_corpus(file_spec(folder.path()));
  CHECK(words.valid_text.bytes == static_cast<int64_t>(valid.size()));
  CHECK(words.valid_text.words == 6);   // with two line ends
  CHECK(words.valid_text.sha256 == sha256_hex(valid));
  CHECK(words.valid_text.lossless);     // <unk> stands in the text itself
  CHECK(!words.test_text.lossless);     // ab became <unk>
  const auto characters = read_corpus(file_spec(folder.path(), "character"));
  CHECK(characters.valid_text.sha256 == words.valid_text.sha256);
  CHECK(characters.valid_text.lossless);
  CHECK(characters.valid_text.decoded_sha256 == sha256_hex(valid));
  CHECK(words.valid_text.decoded_sha256 == sha256_hex("a b\n<unk> a\n"));
  CHECK(words.train_sha256 == sha256_hex("a b <unk>\nb a\n"));
  CHECK(characters.train_sha256 == words.train_sha256);
  CHECK(!read_corpus([&] {
           auto spec = file_spec(folder.path(), "character");
           spec.max_types = 3;
           return spec;
         }()).valid_text.lossless);
  auto cut = file_spec(folder.path(), "character");
  cut.limits.valid = 6;
  cut.limits.train = 3;
  const auto part = read_corpus(cut);
  CHECK(part.valid_text.bytes == 6);
  CHECK(part.valid_text.sha256 == sha256_hex(valid.substr(0, 6)));
  CHECK(part.valid_text.lossless);
  CHECK(part.train_sha256 == sha256_hex("a b"));
}

TEST_CASE("the tokenizer of an earlier run is used as it is") {
  const TemporaryFolder folder;
  const auto tokenizer = tokenizer_from_text("word", "w9 w8 <unk>\n", 0);
  const auto corpus = read_corpus(file_spec(folder.write("text", numbered_lines(20)), "character"), tokenizer);
  CHECK(corpus.tokenizer == tokenizer);
  CHECK(corpus.valid == Ids{2, 3});
}

TEST_CASE("an unknown word names its line in the whole file") {
  const TemporaryFolder folder;
  const auto file = folder.write("text", numbered_lines(19) + "zebra\n");
  CHECK(refused(file_spec(file)).starts_with(file.string() + ": line 20: the word \"zebra\" is not in the training text"));
}

TEST_CASE("a corpus that cannot be is refused") {
  const TemporaryFolder folder;
  const auto file = folder.write("text", numbered_lines(19));
  CHECK(refused(file_spec(file)) == file.string() +
                                        ": expected at least 20 lines to cut 90 : 5 : 5, found 19; hint: or name a "
                                        "folder with train.txt, valid.txt and test.txt");
  CHECK(refused(file_spec("/nowhere/text")) == "/nowhere/text: no such file");
  CHECK(refused(file_spec("")) == "data.path: the kind \"file\" needs the path of a text file or of a folder");
  CHECK(refused(spec_of("wikitext-3")) ==
        "data.kind: expected wikitext-2, wikitext-103, tinyshakespeare, file or generated, found \"wikitext-3\"");
  CHECK(refused(file_spec(file, "syllable")).find("expected at least 20 lines") != std::string::npos);
  auto spec = spec_of("generated");
  spec.path = "text";
  CHECK(refused(spec) == "data.path: only the kind \"file\" has a path, found kind \"generated\"");
  spec = spec_of("generated");
  spec.limits.valid = -1;
  CHECK(refused(spec) == "data.limits: expected limits of at least 0, found 0, -1, 0");
  spec = spec_of("generated");
  spec.tokens = "syllable";
  CHECK(refused(spec) ==
        "tokenizer: expected tokens = \"word\", \"character\", \"bpe\", \"gpt2\" or \"wordpiece\", found \"syllable\"");
}

TEST_CASE("the generated corpus: parts from different seeds, one vocabulary") {
  auto spec = spec_of("generated");
  const auto corpus = read_corpus(spec);
  CHECK(corpus.train.size() >= 400'000);
  CHECK(corpus.valid.size() >= 20'000);
  CHECK(corpus.test.size() >= 20'000);
  CHECK(corpus.train == corpus.tokenizer->encode(generated_articles(1, 400'000)));
  CHECK(corpus.valid == corpus.tokenizer->encode(generated_articles(2, 20'000)));
  CHECK(corpus.test == corpus.tokenizer->encode(generated_articles(3, 20'000)));
  spec.limits = {30'000, 300, 200};
  const auto small = read_corpus(spec);
  CHECK(std::tuple(small.train.size(), small.valid.size(), small.test.size()) == std::tuple(30'000u, 300u, 200u));
}

TEST_CASE("missing and truncated WikiText says so") {
  const TemporaryFolder folder;
  const Environment data("TAPIR_DATA", folder.path().c_str());
  CHECK(data_root() == folder.path());
  const std::string root = folder.path().string();
  for (const std::string name : {"wikitext-2", "wikitext-103"}) {
    CHECK(refused(spec_of(name)) ==
          name + ": " + root + "/" + name +
              "/wiki.train.tokens is missing; hint: put the data set (wiki.train.tokens, "
              "wiki.valid.tokens, wiki.test.tokens) into " +
              root + "/" + name + ", or set TAPIR_DATA to the folder that has " + name + "/");
  }
  CHECK(refused(spec_of("tinyshakespeare")) ==
        "tinyshakespeare: " + root + "/tinyshakespeare/input.txt is missing; hint: put the data set (input.txt) into " + root +
            "/tinyshakespeare, or set TAPIR_DATA to the folder that has tinyshakespeare/");
  folder.write("tinyshakespeare/input.txt", "First Citizen:\n");
  CHECK(refused(spec_of("tinyshakespeare")) ==
        "tinyshakespeare: expected 242651 tokens in " + root +
            "/tinyshakespeare/input.txt, found 3; hint: is the file truncated? for another text use the kind \"file\"");
  folder.write("wikitext-2/wiki.train.tokens", " \n = Valkyria Chronicles III = \n");
  CHECK(refused(spec_of("wikitext-2")) ==
        "wikitext-2: expected 2088628 tokens in " + root +
            "/wikitext-2/wiki.train.tokens, found 7; hint: is the file truncated? for another "
            "text use the kind \"file\"");
  folder.write("wikitext-2/wiki.valid.tokens", " \n cut in a char\xE2");
  CHECK_FALSE(wikitext(0).is_present());
  const auto checks = verify(wikitext(0));
  REQUIRE(checks.size() == 3);
  CHECK(checks[0].name == "wikitext-2/wiki.train.tokens");
  CHECK(checks[0].status == FileStatus::different);
  CHECK(checks[0].tokens == 7);
  CHECK(checks[0].types == 5);
  CHECK(checks[0].detail == "expected 2088628 tokens");
  CHECK(checks[1].status == FileStatus::different);
  CHECK(checks[1].detail ==
        root +
            "/wikitext-2/wiki.valid.tokens: byte 16 (line 2): expected UTF-8 text, found 0xe2; hint: save "
            "the file as UTF-8");
  CHECK(checks[2].status == FileStatus::missing);
  CHECK(checks[2].detail == "expected " + root + "/wikitext-2/wiki.test.tokens");
}

TEST_CASE("verify notices another word count and a changed byte") {
  const TemporaryFolder folder;
  const Environment data("TAPIR_DATA", folder.path().c_str());
  const std::string text = "a b\n";
  folder.write("poems/train", text);
  const KnownFile train{"train", 3, sha256_hex(text), 3};
  const KnownFile unknown_digest{"train", 3, ""};
  DataSet poems{"poems", "", "", "", {train, unknown_digest, {"train", 3, sha256_hex("a c\n")}}};
  CHECK(poems.is_present());
  auto checks = verify(poems);
  CHECK(checks[0].status == FileStatus::exact);
  CHECK(checks[0].types == 3);
  CHECK(checks[0].detail == "");
  CHECK(checks[1].status == FileStatus::exact);
  CHECK(checks[1].types == 0);
  CHECK(checks[2].status == FileStatus::different);
  CHECK(checks[2].detail == "expected SHA-256 " + sha256_hex("a c\n") + ", found " + sha256_hex(text));
  poems.files[0].types = 4;
  checks = verify(poems);
  CHECK(checks[0].status == FileStatus::different);
  CHECK(checks[0].detail == "expected 4 types");
}

TEST_CASE("WikiText-2: the published counts, and the ids of an independent reader") {
  if (lacks_wikitext_2()) return;
  const auto corpus = read_corpus(spec_of("wikitext-2"));
  CHECK(corpus.tokenizer->size() == 33'278);
  CHECK(corpus.train.size() == 2'088'628);
  CHECK(corpus.valid.size() == 217'646);
  CHECK(corpus.test.size() == 245'569);
  CHECK(digest(corpus.train) == "f0f1a9d18a658ea927c8bee3188f3830109c9d1f4d61d6f22ddea5ac136c156e");
  CHECK(digest(corpus.valid) == "b6dc736e28ad52825723503918513ea99e72d19747f4c56ce8c50f3b0b0c9d65");
  CHECK(digest(corpus.test) == "776f31f4be794ed94bca7389b81a3f11b742a876ec973fcd6590632ddb1f77a3");
  auto spec = spec_of("wikitext-2");
  spec.max_types = 500;
  const auto limited = read_corpus(spec);
  CHECK(limited.tokenizer->size() == 500);
  CHECK(digest(limited.train) == "79cb14d61b18dcb7fcdb521f42567759cafe8821968621001f63f339716f15c0");
}

TEST_CASE("WikiText: the files that are there are exact") {
  if (lacks_wikitext_2()) return;
  for (const FileCheck& check : verify(wikitext(0))) {
    CAPTURE(check.name);
    CHECK(check.detail == "");
    CHECK(check.status == FileStatus::exact);
  }
  for (const FileCheck& check : verify(wikitext(1))) {
    CHECK(check.status != FileStatus::different);
    if (check.status == FileStatus::missing) testing::skipped(check.detail);
  }
}

// The split of nanoGPT's prepare.py, and its ids but for their order (there sorted, here by first appearance).
TEST_CASE("Tiny Shakespeare: the first 90 % of characters train, the others validate, and there is no test part") {
  const DataSet& set = *find_data_set("tinyshakespeare");
  if (testing::lacks(set.folder() / "input.txt")) return;
  for (const FileCheck& check : verify(set)) CHECK(check.status == FileStatus::exact);
  auto spec = spec_of("tinyshakespeare");
  spec.tokens = "character";
  const auto corpus = read_corpus(spec);
  CHECK(corpus.train.size() == 1'003'854);
  CHECK(corpus.valid.size() == 111'540);
  CHECK(corpus.test.empty());
  CHECK(corpus.tokenizer->size() == 65);
  CHECK(corpus.valid_text.bytes == 111'540);
  CHECK(corpus.valid_text.lossless);
  const std::string whole = read_text_file(set.folder() / "input.txt");
  CHECK(corpus.tokenizer->decode(corpus.train) + corpus.tokenizer->decode(corpus.valid) == whole);
  CHECK(corpus.tokenizer->decode(corpus.valid).starts_with("?\n\nGREMIO:\nGood morrow, neighbour Baptista."));
  spec.limits.test = 5;
  CHECK(refused(spec) == "data.test_tokens: tinyshakespeare has no test part, found 5; hint: leave it at 0");
  spec.limits.test = 0;
  spec.tokens = "word";
  spec.max_types = 2000;
  CHECK(read_corpus(spec).valid_text.words == count_word_tokens(whole.substr(1'003'854)));
}

TEST_CASE("Tiny Shakespeare by characters: 65 types") {
  const auto file = data_root() / "tinyshakespeare" / "input.txt";
  if (testing::lacks(file)) return;
  const auto corpus = read_corpus(file_spec(file, "character"));
  CHECK(corpus.train.size() + corpus.valid.size() + corpus.test.size() == 1'115'394);
  CHECK(corpus.tokenizer->size() == 65);
  Ids all = corpus.train;
  all.insert(all.end(), corpus.valid.begin(), corpus.valid.end());
  all.insert(all.end(), corpus.test.begin(), corpus.test.end());
  CHECK(digest(all) == "b45cfd482fed2eb3729ebbbb15388cb7f5826fcc951ace2b067e0f1b1f313a1e");
}
