#include <nlohmann/json.hpp>
#include <sstream>

#include "datasets/location.h"
#include "datasets/text/bpe.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tensor/error.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view get_hint = "put the files encoder.json and vocab.bpe of GPT-2 there, as OpenAI published them";

[[noreturn]] void refuse(const fs::path& file, int64_t byte, std::string_view problem) {
  throw Error(file.string(), text("byte ", byte, ": ", problem), get_hint);
}

// Events of {"entry": id, …}. A byte in an error is how far the file was read.
class EntryReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit EntryReader(const fs::path& file) : file_(file), stream_(read_file(file)) {}

  // The entries in the order of their ids.
  std::vector<std::string> read() {
    nlohmann::json::sax_parse(stream_, this);
    const auto size = static_cast<int64_t>(found_.size());
    std::vector<std::string> entries(found_.size());
    for (auto& [entry, id, byte] : found_) {
      if (id >= size) refuse(file_, byte, text("expected an id in [0, ", size, "), one for each entry, found ", id));
      std::string& place = entries[static_cast<size_t>(id)];
      if (entry.empty() || !place.empty())
        refuse(file_, byte, text("expected an id and an entry of its own, found ", id, " for ", shown(entry)));
      place = std::move(entry);
    }
    return entries;
  }

  bool start_object(size_t) override { return is_open_ ? other("an object") : (is_open_ = true); }
  bool end_object() override { return true; }
  bool key(string_t& entry) override {
    found_.push_back({std::move(entry), -1, byte()});
    return true;
  }
  bool number_unsigned(number_unsigned_t id) override {
    if (!is_open_ || id >= uint64_t{1} << 31) return other(text(id));
    found_.back().id = static_cast<int64_t>(id);
    return true;
  }
  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("true or false"); }
  bool number_integer(number_integer_t id) override { return other(text(id)); }
  bool number_float(number_float_t, const string_t& digits) override { return other(digits); }
  bool string(string_t& value) override { return other(shown(value)); }
  bool binary(binary_t&) override { return other("bytes"); }
  bool start_array(size_t) override { return other("a list"); }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& failure) override {
    refuse(file_, static_cast<int64_t>(position), text("is not JSON: ", std::string_view(failure.what()).substr(0, 160)));
  }

 private:
  struct Found {
    std::string entry;
    int64_t id;
    int64_t byte;
  };

  bool other(std::string_view found) { refuse(file_, byte(), text("expected {\"entry\": id, …}, found ", found)); }
  int64_t byte() { return stream_.rdbuf()->pubseekoff(0, std::ios::cur, std::ios::in); }

  fs::path file_;
  std::istringstream stream_;
  bool is_open_ = false;
  std::vector<Found> found_;
};

// Lines "left right" after a line with the version: the merges of `tokenizer`, in order.
void check_merges(const fs::path& file, const BpeTokenizer& tokenizer) {
  const std::string contents = read_file(file);
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  int64_t lines = 0;
  int32_t last = -1;
  for (size_t begin = 0, end; begin < contents.size(); begin = end + 1) {
    end = std::min(contents.find('\n', begin), contents.size());
    const std::string_view line(contents.data() + begin, end - begin);
    if (begin == 0 && line.starts_with("#version")) continue;
    const size_t space = line.find(' ');
    if (space == line.npos) refuse(file, static_cast<int64_t>(begin), text("expected two entries, found ", shown(line)));
    const auto left = vocabulary.id(line.substr(0, space)), right = vocabulary.id(line.substr(space + 1));
    const int32_t id = left && right ? tokenizer.merged(*left, *right) : -1;
    if (id <= last)
      refuse(file, static_cast<int64_t>(begin),
             text("expected the merge of an entry after ", last, " of encoder.json, found ", shown(line)));
    last = id;
    ++lines;
  }
  if (lines != tokenizer.merges())
    refuse(file, static_cast<int64_t>(contents.size()), text("expected ", tokenizer.merges(), " merges, found ", lines));
}

}  // namespace

BpeTokenizer read_gpt2_tokenizer(const fs::path& folder) {
  const fs::path encoder = require_file("gpt2", folder, "encoder.json", get_hint);
  const fs::path merges = require_file("gpt2", folder, "vocab.bpe", get_hint);
  const auto tokenizer_of = [&](std::vector<std::string> entries) {
    try {
      return BpeTokenizer(std::move(entries));
    } catch (const Error& refused) {
      throw Error(encoder.string(), refused.what(), get_hint);
    }
  };
  BpeTokenizer tokenizer = tokenizer_of(EntryReader(encoder).read());
  check_merges(merges, tokenizer);
  return tokenizer;
}

}  // namespace tapir
