#include "datasets/text/corpus.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "datasets/catalog.h"
#include "datasets/location.h"
#include "datasets/synthetic/grammar.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tensor/available_memory.h"
#include "tensor/error.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

struct Part {
  std::string text;
  Origin origin;
};

struct Parts {
  Part train, valid, test;   // test empty: there is none
};

Part part_of(std::string text, std::string name, int64_t first_line = 1) {
  if (text.empty() || text.back() != '\n') text += '\n';
  return {std::move(text), {std::move(name), first_line}};
}

// Characters [0, ⌊0.9 n⌋) and [⌊0.9 n⌋, n) of n.
Parts cut_by_characters(const std::string& whole, const std::string& name) {
  std::vector<size_t> begins;
  for (size_t i = 0; i < whole.size(); i += utf8_length(whole, i)) begins.push_back(i);
  const size_t cut = begins[begins.size() * 9 / 10];
  const auto lines_before = std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut), '\n');
  return {{whole.substr(0, cut), {name, 1}}, {whole.substr(cut), {name, lines_before + 1}}, {}};
}

Parts known_parts(const DataSet& set) {
  const auto name_of = [&](size_t file) { return set.name + "/" + set.files[file].name; };
  if (set.files.size() == 1) return cut_by_characters(read_known_text(set, set.files[0]), name_of(0));
  const auto read = [&](size_t file) { return part_of(read_known_text(set, set.files[file]), name_of(file)); };
  return {read(0), read(1), read(2)};
}

Parts folder_parts(const std::filesystem::path& folder) {
  const auto read = [&](std::string_view file) {
    const auto path = require_file("data.path", folder, file,
                                   "a folder has the parts train.txt, valid.txt and test.txt; or name one text file");
    return part_of(read_text_file(path), path.string());
  };
  return {read("train.txt"), read("valid.txt"), read("test.txt")};
}

// Lines [0, ⌊0.9 n⌋), [⌊0.9 n⌋, ⌊0.95 n⌋), [⌊0.95 n⌋, n) of a file of n lines.
Parts file_parts(const std::filesystem::path& file) {
  const std::string name = file.string();
  const Part whole = part_of(read_text_file(file), name);
  const std::string_view contents = whole.text;
  const int64_t lines = std::count(contents.begin(), contents.end(), '\n');
  require(
      lines >= 20, name, [&] { return text("expected at least 20 lines to cut 90 : 5 : 5, found ", lines); },
      "or name a folder with train.txt, valid.txt and test.txt");
  const int64_t valid_line = lines * 18 / 20, test_line = lines * 19 / 20;

  size_t cut = 0;
  int64_t line = 0;
  const auto skip_to_line = [&](int64_t target) {
    for (; line < target; ++line) cut = contents.find('\n', cut) + 1;
    return cut;
  };
  const size_t valid_start = skip_to_line(valid_line);
  const size_t test_start = skip_to_line(test_line);
  const auto piece = [&](size_t begin, size_t end, int64_t lines_before) {
    return part_of(std::string(contents.substr(begin, end - begin)), name, lines_before + 1);
  };
  return {piece(0, valid_start, 0), piece(valid_start, test_start, valid_line),
          piece(test_start, contents.size(), test_line)};
}

Parts generated_parts(const CorpusSpec::Limits& limits) {
  const auto generate = [](uint64_t seed, int64_t limit, int64_t usual) {
    require_memory("data", 10 * limit, "use fewer tokens");   // each a word, a blank, an id
    return part_of(generated_articles(seed, limit > 0 ? limit : usual), text("generated text ", seed));
  };
  return {generate(1, limits.train, 400'000), generate(2, limits.valid, 20'000), generate(3, limits.test, 20'000)};
}

Parts parts_of(const CorpusSpec& spec) {
  if (spec.kind == "file") {
    require(!spec.path.empty(), "data.path",
            [] { return "the kind \"file\" needs the path of a text file or of a folder"; });
    std::error_code ignored;
    return std::filesystem::is_directory(spec.path, ignored) ? folder_parts(spec.path) : file_parts(spec.path);
  }
  require(spec.path.empty(), "data.path",
          [&] { return text("only the kind \"file\" has a path, found kind ", shown(spec.kind)); });
  if (spec.kind == "generated") return generated_parts(spec.limits);
  const DataSet* const set = find_data_set(spec.kind);
  require(set && set->is_text(), "data.kind", [&] {
    std::string known;
    for (const DataSet& one : data_sets())
      if (one.is_text()) known += one.name + ", ";
    return text("expected ", known, "file or generated, found ", shown(spec.kind));
  });
  return known_parts(*set);
}

// Of ids that a limit may have cut: of what is left then.
TextMeasure measure_of(const std::string& whole, const std::vector<int32_t>& ids, int64_t all, const Tokenizer& tokenizer) {
  const bool cut = static_cast<int64_t>(ids.size()) < all;
  const std::string decoded = tokenizer.decode(ids), expected = tokenizer.decodable(whole);
  const std::string& own = cut ? decoded : whole;
  return {static_cast<int64_t>(own.size()), count_word_tokens(own), all, sha256_hex(own), sha256_hex(decoded),
          cut ? expected.starts_with(decoded) : expected == decoded};
}

}  // namespace

TextCorpus read_corpus(const CorpusSpec& spec, std::shared_ptr<const Tokenizer> tokenizer) {
  const auto& limits = spec.limits;
  require(std::min({limits.train, limits.valid, limits.test}) >= 0, "data.limits", [&] {
    return text("expected limits of at least 0, found ", limits.train, ", ", limits.valid, ", ", limits.test);
  });
  const Parts parts = parts_of(spec);
  require(limits.test == 0 || !parts.test.text.empty(), "data.test_tokens",
          [&] { return text(spec.kind, " has no test part, found ", limits.test); }, "leave it at 0");
  if (!tokenizer) tokenizer = tokenizer_from_text(spec.tokens, parts.train.text, spec.max_types);

  struct Encoded {
    std::vector<int32_t> ids;   // up to the limit
    int64_t all;                // before it
  };
  const auto encode = [&](const Part& part, int64_t limit) {
    Encoded own{tokenizer->encode(part.text, part.origin), 0};
    own.all = static_cast<int64_t>(own.ids.size());
    if (limit > 0 && own.all > limit) own.ids.resize(limit);
    return own;
  };
  const auto encode_measured = [&](const Part& part, int64_t limit, TextMeasure& measure) {
    Encoded own = encode(part, limit);
    measure = measure_of(part.text, own.ids, own.all, *tokenizer);
    return std::move(own.ids);
  };
  TextCorpus corpus;
  Encoded train = encode(parts.train, limits.train);
  corpus.train_sha256 = sha256_hex(static_cast<int64_t>(train.ids.size()) < train.all ? tokenizer->decode(train.ids) : parts.train.text);
  corpus.train = std::move(train.ids);
  corpus.valid = encode_measured(parts.valid, limits.valid, corpus.valid_text);
  if (!parts.test.text.empty()) corpus.test = encode_measured(parts.test, limits.test, corpus.test_text);
  corpus.tokenizer = std::move(tokenizer);
  return corpus;
}

}  // namespace tapir
