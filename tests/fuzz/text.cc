// UTF-8, text files, and corpora cut from them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/text/corpus.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/targets.h"

namespace tapir::fuzz {
namespace {

bool is_utf8_for_json(std::string_view text) {   // another author's reading of RFC 3629
  try {
    nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

}  // namespace

// A text.
void utf8(std::string_view bytes) {
  for (size_t offset = 0; offset < bytes.size(); ++offset) expect(utf8_length(bytes, offset) <= 4, "at most 4 bytes");
  const auto invalid = first_invalid_utf8(bytes);
  expect(!invalid == is_utf8_for_json(bytes), "UTF-8 is what others take for it");
  if (invalid) expect(is_utf8_for_json(bytes.substr(0, *invalid)), "what comes before the first invalid byte is valid");
  const std::string valid = replace_invalid_utf8(bytes);
  expect(is_utf8_for_json(valid), "what was replaced is valid");
  expect(invalid ? valid != bytes : valid == bytes, "only what is invalid is replaced");

  const std::string quoted = shown(bytes);
  expect(quoted.size() <= 4 * 64 + 5, "what is shown is short");
  expect(is_utf8_for_json(quoted), "what is shown is valid");
  expect(std::none_of(quoted.begin(), quoted.end(), [](char c) { return (c >= 0 && c < 32) || c == 127; }),
         "what is shown is one line");
}

// A file.
void text_file(std::string_view bytes) {
  const std::filesystem::path file = write("text", bytes);
  expect(read_file(file) == bytes, "a file is read as it is");
  const auto text = value_of(file.string(), [&] { return read_text_file(file); });
  if (!text) return;
  expect(!text->empty() && !first_invalid_utf8(*text) && text->find('\0') == text->npos, "a text is text");
  expect(text->size() <= bytes.size(), "nothing is added to a text");
}

// Character by character; in a text with U+FFFD that may stand for those that its first part has not.
bool equal_but_unknown(std::string_view decoded, std::string_view text) {
  constexpr std::string_view unknown = "\uFFFD";
  if (text.find(unknown) == text.npos) return decoded == text;
  while (!decoded.empty() && !text.empty()) {
    const std::string_view a = decoded.substr(0, utf8_length(decoded, 0)), b = text.substr(0, utf8_length(text, 0));
    if (a.empty() || b.empty() || (a != b && a != unknown)) return false;
    decoded.remove_prefix(a.size());
    text.remove_prefix(b.size());
  }
  return decoded.empty() && text.empty();
}

// A byte that says how, and a file.
void corpus(std::string_view bytes) {
  if (bytes.empty()) return;
  const std::filesystem::path file = write("corpus", bytes.substr(1));
  CorpusSpec spec;
  spec.kind = "file";
  spec.path = file;
  const int how = static_cast<unsigned char>(bytes[0]);
  constexpr const char* kinds[] = {"word", "character", "bpe", "wordpiece"};
  spec.tokens = kinds[how % 4];
  spec.max_types = how % 4 == 2 ? 256 + how / 4 : how % 4 == 3 ? how : how % 8 < 4 ? 0 : 3 + how / 16;
  const auto corpus = value_of("", [&] { return read_corpus(spec); });
  if (!corpus) return;
  for (const auto* part : {&corpus->train, &corpus->valid, &corpus->test}) {
    expect(!part->empty(), "20 lines give three parts");
    expect(corpus->tokenizer->encode(corpus->tokenizer->decode(*part)) == *part || spec.tokens == "bpe",
           "ids become text that becomes these ids");
  }
  std::string text = read_text_file(file);
  if (text.back() != '\n') text += '\n';
  std::string whole;
  for (const auto* part : {&corpus->train, &corpus->valid, &corpus->test}) whole += corpus->tokenizer->decode(*part);
  if (spec.tokens == "bpe") expect(whole == text, "the parts are the text");
  if (spec.tokens == "character" && spec.max_types == 0) expect(equal_but_unknown(whole, text), "the parts are the text");
}

}  // namespace tapir::fuzz
