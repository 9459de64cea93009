// A corpus: training, validation and test text as streams of ids, and the tokenizer that made them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "datasets/text/tokenizer.h"

namespace tapir {

struct CorpusSpec {
  // Largest number of tokens that are kept of each part, from its start; 0 keeps all. A generated corpus has this length
  // (0: 400,000 and twice 20,000 words).
  struct Limits {
    int64_t train = 0;
    int64_t valid = 0;
    int64_t test = 0;
  };

  std::string kind = "wikitext-2";  // "wikitext-2" | "wikitext-103" | "tinyshakespeare" | "file" | "generated"

  // For the kind "file" alone. A text file: its first 90 % of lines are the training part, the next 5 % validation, the
  // last 5 % test. A folder: it has the three parts as train.txt, valid.txt, test.txt.
  std::filesystem::path path;

  std::string tokens = "word";  // "word" | "character" | "bpe" | "gpt2" | "wordpiece"
  int64_t max_types = 0;        // size of the vocabulary; 0 is no limit (TypeCounter::types). "bpe" and "wordpiece" need it
  Limits limits;
};

// What a part's ids stand for, so that results of several tokenizers can be told in one unit.
struct TextMeasure {
  int64_t bytes = 0, words = 0;   // of the text; words and line ends, as count_word_tokens
  int64_t whole = 0;              // tokens of the part, before limits
  std::string sha256;             // of its bytes
  std::string decoded_sha256;     // of what the ids say: equal for codes of the same text, be it that its spaces are lost
  bool lossless = false;          // no type became the unknown one: decoded, the ids are Tokenizer::decodable of the text
};

struct TextCorpus {
  std::vector<int32_t> train, valid, test;   // test empty: there is no test part
  TextMeasure valid_text, test_text;
  std::string train_sha256;                  // of the training text, as far as it is used
  std::shared_ptr<const Tokenizer> tokenizer;
};

// Reads (or generates) the text of `spec`. The vocabulary comes from the whole training part, before limits; or from
// `tokenizer`, as saved with a trained model, and then spec.tokens and spec.max_types do not matter.
// Every part ends with a line end: where the text has none, one is added, but for tinyshakespeare, which is cut by characters.
// Errors: a field that is not as above; a limit of a test part that there is not; a file that is missing, truncated, malformed,
// or too short to be cut (20 lines); a type that the vocabulary lacks.
TextCorpus read_corpus(const CorpusSpec& spec, std::shared_ptr<const Tokenizer> tokenizer = nullptr);

}  // namespace tapir
