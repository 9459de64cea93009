#include "datasets/catalog.h"

#include <algorithm>

#include "datasets/location.h"
#include "datasets/text/text_file.h"
#include "datasets/text/tokenizer.h"
#include "tensor/error.h"
#include "tensor/sha256.h"

namespace tapir {

namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool only_archive_is_present(const DataSet& set) {
  return !set.is_text() && !is_there(set.folder()) && is_there(data_root() / set.archive.name);
}

}  // namespace

fs::path DataSet::folder() const { return data_root() / (folder_name.empty() ? name : folder_name); }

bool DataSet::is_present() const {
  return only_archive_is_present(*this) || std::all_of(files.begin(), files.end(), [&](const KnownFile& file) {
           return is_there(folder() / file.name);
         });
}

const std::vector<DataSet>& data_sets() {
  static const std::string source =
      "Merity, Xiong, Bradbury, Socher: Pointer Sentinel Mixture Models, 2016 (arXiv 1609.07843)";
  static const std::string licence = "CC BY-SA (text of Wikipedia)";
  static const std::string tiny_images = "Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009";
  static const std::string no_licence = "none stated, citation asked for";
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
       {{"input.txt", 242'651, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"}}},
      {"cifar-10",
       "60,000 photographs of 32 x 32 pixels; 10 classes",
       tiny_images,
       no_licence,
       {{"data_batch_1.bin", 0, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5", 0, 30'730'000},
        {"data_batch_2.bin", 0, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed", 0, 30'730'000},
        {"data_batch_3.bin", 0, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67", 0, 30'730'000},
        {"data_batch_4.bin", 0, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48", 0, 30'730'000},
        {"data_batch_5.bin", 0, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add", 0, 30'730'000},
        {"test_batch.bin", 0, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b", 0, 30'730'000},
        {"batches.meta.txt", 0, ""}},
       "cifar-10-batches-bin",
       {"cifar-10-binary.tar.gz", 0, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 0, 170'052'171}},
      {"cifar-100",
       "60,000 photographs of 32 x 32 pixels; 100 classes in 20 coarse ones",
       tiny_images,
       no_licence,
       {{"train.bin", 0, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29", 0, 153'700'000},
        {"test.bin", 0, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a", 0, 30'740'000},
        {"fine_label_names.txt", 0, ""},
        {"coarse_label_names.txt", 0, ""}},
       "cifar-100-binary",
       {"cifar-100-binary.tar.gz", 0, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", 0, 168'513'733}}};
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

fs::path require_place(const DataSet& set) {
  if (is_there(set.folder())) return set.folder();
  const fs::path archive = data_root() / set.archive.name;
  require(is_there(archive), set.name, [&] { return text(set.folder().string(), " is missing, and so is ", archive.string()); },
          "put the official files into the former, or the archive where the latter is expected; or set TAPIR_DATA");
  return archive;
}

namespace {

// "": nothing differs.
std::string difference(const KnownFile& file, const fs::path& path, FileCheck& check) {
  const bool is_text = file.tokens > 0;
  const std::string contents = is_text ? read_text_file(path) : "", bytes = read_file(path);
  check.tokens = is_text ? count_word_tokens(contents) : static_cast<int64_t>(bytes.size());
  if (file.types > 0) check.types = WordTokenizer::from_text(contents).size();
  const std::string digest = sha256_hex(bytes);
  if (is_text && check.tokens != file.tokens) return text("expected ", file.tokens, " tokens");
  if (file.bytes > 0 && check.tokens != file.bytes) return text("expected ", file.bytes, " bytes");
  if (check.types != file.types) return text("expected ", file.types, " types");
  if (!file.sha256.empty() && digest != file.sha256) return text("expected SHA-256 ", file.sha256, ", found ", digest);
  return "";
}

}  // namespace

std::vector<FileCheck> verify(const DataSet& set) {
  std::vector<FileCheck> checks;
  const bool archive = only_archive_is_present(set);
  for (const KnownFile& file : archive ? std::vector{set.archive} : set.files) {
    const fs::path path = archive ? data_root() / file.name : set.folder() / file.name;
    const std::string name = archive ? file.name : set.folder().filename().string() + "/" + file.name;
    FileCheck& check = checks.emplace_back(FileCheck{name, FileStatus::missing, 0, 0, ""});
    if (!is_there(path)) {
      check.detail = text("expected ", path.string());
      continue;
    }
    try {
      check.detail = difference(file, path, check);
    } catch (const Error& unreadable) {
      check.detail = unreadable.what();
    }
    check.status = check.detail.empty() ? FileStatus::exact : FileStatus::different;
  }
  return checks;
}

}  // namespace tapir
