#include "datasets/catalog.h"

#include <algorithm>

#include "datasets/location.h"
#include "datasets/text/text_file.h"
#include "datasets/text/tokenizer.h"
#include "tensor/error.h"
#include "tensor/sha256.h"

namespace tapir {

std::filesystem::path DataSet::folder() const { return data_root() / name; }

bool DataSet::is_present() const {
  return std::all_of(files.begin(), files.end(), [&](const KnownFile& file) {
    std::error_code ignored;
    return std::filesystem::exists(folder() / file.name, ignored);
  });
}

const std::vector<DataSet>& data_sets() {
  static const std::string source =
      "Merity, Xiong, Bradbury, Socher: Pointer Sentinel Mixture Models, 2016 (arXiv 1609.07843)";
  static const std::string licence = "CC BY-SA (text of Wikipedia)";
  static const std::vector<DataSet> sets = {
      {"wikitext-2",
       "articles of Wikipedia, split into words; 33,278 types",
       source,
       licence,
       {{"wiki.train.tokens", 2'088'628, "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f", 33'278},
        {"wiki.valid.tokens", 217'646, "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"},
        {"wiki.test.tokens", 245'569, "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"}}},
      {"wikitext-103",
       "the articles of wikitext-2 with about 50 times the training text; 267,735 types",
       source,
       licence,
       {{"wiki.train.tokens", 103'227'021, "", 267'735},
        {"wiki.valid.tokens", 217'646, "9aee9f52d6e77de6c7751fc5e7c44287db3ec0eaf15477098acc6b93c1c4250b"},
        {"wiki.test.tokens", 245'569, "56db52eb157b1ab5c89646eef70510c1eca6e12a3bfdb99f0d6b05b4eacb75b9"}}},
      {"tinyshakespeare",
       "40,000 lines of Shakespeare's plays; 1,115,394 characters, 65 types of them",
       "Karpathy: char-rnn, 2015 (data/tinyshakespeare/input.txt)",
       "public domain",
       {{"input.txt", 242'651, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"}}}};
  return sets;
}

const DataSet* find_data_set(const std::string& name) {
  const std::vector<DataSet>& sets = data_sets();
  const auto found = std::find_if(sets.begin(), sets.end(), [&](const DataSet& set) { return set.name == name; });
  return found == sets.end() ? nullptr : &*found;
}

std::string read_known_text(const DataSet& set, const KnownFile& file) {
  const std::string folder = set.folder().string();
  std::string names;
  for (const KnownFile& one : set.files) names += text(names.empty() ? "" : ", ", one.name);
  const auto path = require_file(set.name, folder, file.name,
                                 text("put the data set (", names, ") into ", folder,
                                      ", or set TAPIR_DATA to the folder that has ", set.name, "/"));
  std::string contents = read_text_file(path);
  const int64_t tokens = count_word_tokens(contents);
  require(
      tokens == file.tokens, set.name,
      [&] { return text("expected ", file.tokens, " tokens in ", path.string(), ", found ", tokens); },
      "is the file truncated? for another text use the kind \"file\"");
  return contents;
}

std::vector<FileCheck> verify(const DataSet& set) {
  std::vector<FileCheck> checks;
  for (const KnownFile& file : set.files) {
    FileCheck& check = checks.emplace_back(FileCheck{set.name + "/" + file.name, FileStatus::missing, 0, 0, ""});
    const auto path = set.folder() / file.name;
    if (std::error_code ignored; !std::filesystem::exists(path, ignored)) {
      check.detail = text("expected ", path.string());
      continue;
    }
    check.status = FileStatus::different;
    try {
      const std::string contents = read_text_file(path);
      check.tokens = count_word_tokens(contents);
      if (file.types > 0) check.types = WordTokenizer::from_text(contents).size();
      const std::string digest = sha256_hex(read_file(path));
      if (check.tokens != file.tokens) {
        check.detail = text("expected ", file.tokens, " tokens");
      } else if (check.types != file.types) {
        check.detail = text("expected ", file.types, " types");
      } else if (!file.sha256.empty() && digest != file.sha256) {
        check.detail = text("expected SHA-256 ", file.sha256, ", found ", digest);
      } else {
        check.status = FileStatus::exact;
      }
    } catch (const Error& unreadable) {
      check.detail = unreadable.what();
    }
  }
  return checks;
}

}  // namespace tapir
