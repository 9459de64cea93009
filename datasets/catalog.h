// The data sets that tapir knows by name: where each is expected, what identifies it, and whether it is there.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tapir {

struct KnownFile {
  std::string name;
  int64_t tokens;      // words and line ends; of WikiText as published (Merity et al. 2016, table 1); of images 0
  std::string sha256;  // "" where none is known
  int64_t types = 0;   // different words, the line end included; 0: not compared
  int64_t bytes = 0;   // of a file of images; 0: not compared
};

struct DataSet {
  std::string name;
  std::string contents;
  std::string source;
  std::string licence;
  std::vector<KnownFile> files;  // of the three parts, in order; or one, of which the first 90 % of characters are the training
                                 // part, the others validation, and there is no test part. Of images: all that are read
  std::string folder_name = "";   // under data_root(); "": the name
  KnownFile archive = {};         // under data_root(): a .tar.gz of the folder, which does as well; name "": there is none

  bool is_text() const { return archive.name.empty(); }
  std::filesystem::path folder() const;
  bool is_present() const;  // all files exist, or the archive does
};

// Every data set that is read from files: wikitext-2, wikitext-103, tinyshakespeare, cifar-10,
// cifar-100.
const std::vector<DataSet>& data_sets();
const DataSet* find_data_set(const std::string& name);   // null: there is none

// The checked text of one file of `set`. Errors: the file is missing (says what to put where); what read_text_file refuses;
// a number of tokens other than the published one.
std::string read_known_text(const DataSet& set, const KnownFile& file);

// The folder of a set of images, or its archive where there is no folder. Error: neither is there (says what to put where).
std::filesystem::path require_place(const DataSet& set);

enum class FileStatus { exact, missing, different };

struct FileCheck {
  std::string name;  // "wikitext-2/wiki.train.tokens"
  FileStatus status;
  int64_t tokens = 0;  // found; of a file of images its bytes
  int64_t types = 0;   // found; counted where they are known
  std::string detail;  // what differs; "" where the file is exact
};

// Compares every file of `set` with its known token count (of images: bytes), SHA-256 and number of types; one row per file. Of
// images of which the archive alone is there, one row for it.
std::vector<FileCheck> verify(const DataSet& set);

}  // namespace tapir
