#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/text/bpe.h"
#include "datasets/text/text_file.h"
#include "datasets/text/tokenizer.h"
#include "datasets/text/utf8.h"
#include "datasets/text/wordpiece.h"
#include "tensor/error.h"

namespace tapir {
namespace {

using nlohmann::json;

constexpr std::string_view saved_again = "copy the file again from the run that saved it";

json parse(const std::filesystem::path& file) {
  const std::string contents = read_text_file(file);
  try {
    return json::parse(contents);
  } catch (const json::exception& failure) {
    throw Error(file.string(), text("is not JSON: ", std::string_view(failure.what()).substr(0, 160)), saved_again);
  }
}

std::shared_ptr<const Tokenizer> tokenizer_of(const std::string& kind, std::vector<std::string> entries) {
  if (kind == "word") return std::make_shared<WordTokenizer>(std::move(entries));
  if (kind == "character") return std::make_shared<CharacterTokenizer>(std::move(entries));
  if (kind == "bpe") return std::make_shared<BpeTokenizer>(std::move(entries));
  if (kind == "wordpiece") return std::make_shared<WordPieceTokenizer>(std::move(entries));
  throw Error("tokens", text("expected \"word\", \"character\", \"bpe\" or \"wordpiece\", found ", shown(kind)));
}

}  // namespace

std::string tokenizer_text(const Tokenizer& tokenizer) {
  const nlohmann::ordered_json contents = {
      {"tokens", tokenizer.kind()}, {"entries", tokenizer.vocabulary().entries()}, {"sha256", tokenizer.digest()}};
  return contents.dump(0) + '\n';
}

std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& file) {
  const json contents = parse(file);
  const auto well_formed = [&](bool holds, std::string_view found) {
    require(
        holds, file.string(),
        [&] {
          return text("expected exactly {\"tokens\": string, \"entries\": [strings], \"sha256\": string}, found ", found);
        },
        saved_again);
  };
  well_formed(contents.is_object(), "no object");
  for (const auto& [key, value] : contents.items()) {
    well_formed(key == "tokens" || key == "entries" || key == "sha256", text("the key ", shown(key)));
  }
  for (const char* key : {"tokens", "entries", "sha256"}) well_formed(contents.contains(key), text("no ", key));
  for (const char* key : {"tokens", "sha256"})
    well_formed(contents[key].is_string(), text("a ", key, " that is no string"));
  const json& entries = contents["entries"];
  well_formed(entries.is_array(), "entries that are no list");
  const auto is_string = [](const json& entry) { return entry.is_string(); };
  well_formed(std::all_of(entries.begin(), entries.end(), is_string), "an entry that is no string");

  std::shared_ptr<const Tokenizer> tokenizer;
  try {
    tokenizer = tokenizer_of(contents["tokens"].get<std::string>(), entries.get<std::vector<std::string>>());
  } catch (const Error& refused) {
    throw Error(file.string(), refused.what(), saved_again);
  }
  const auto& digest = contents["sha256"].get_ref<const std::string&>();
  require(
      digest == tokenizer->digest(), file.string(),
      [&] { return text("sha256 is ", shown(digest), ", expected ", tokenizer->digest(), " for these entries"); },
      saved_again);
  return tokenizer;
}

}  // namespace tapir
