// The data sets that tapir knows by name: where each is expected, what identifies it, and whether it is there.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tapir {

struct KnownFile {
  std::string name;
  int64_t tokens;      // words and line ends; of WikiText as published (Merity et al. 2016, table 1)
  std::string sha256;  // "" where none is known
  int64_t types = 0;   // different words, the line end included; 0: not compared
};

struct DataSet {
  std::string name;  // also its folder under data_root()
  std::string contents;
  std::string source;
  std::string licence;
  std::vector<KnownFile> files;  // of the three parts, in order; or one, of which the first 90 % of characters are the training
                                 // part, the others validation, and there is no test part

  std::filesystem::path folder() const;
  bool is_present() const;  // all files exist
};

// Every data set that is read from files: wikitext-2, wikitext-103, tinyshakespeare.
const std::vector<DataSet>& data_sets();
const DataSet* find_data_set(const std::string& name);   // null: there is none

// The checked text of one file of `set`. Errors: the file is missing (says what to put where); what read_text_file refuses;
// a number of tokens other than the published one.
std::string read_known_text(const DataSet& set, const KnownFile& file);

enum class FileStatus { exact, missing, different };

struct FileCheck {
  std::string name;  // "wikitext-2/wiki.train.tokens"
  FileStatus status;
  int64_t tokens = 0;  // found
  int64_t types = 0;   // found; counted where they are known
  std::string detail;  // what differs; "" where the file is exact
};

// Compares every file of `set` with its known token count, SHA-256 and number of types; one row per file.
std::vector<FileCheck> verify(const DataSet& set);

}  // namespace tapir
