// metrics.jsonl: one JSON object per line and logged step, {"step": 37, "loss": 6.25, "note": "text"}.
// Numbers are written with as many digits as they need to be read back exactly. JSON has no NaN and no infinity: they are
// written as the strings "nan", "inf" and "-inf", which read_metrics() turns back into numbers.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "nn/files/file_calls.h"

namespace tapir {

using MetricValue = std::variant<int64_t, double, std::string>;

struct MetricsLine {
  int64_t step = 0;
  std::vector<std::pair<std::string, MetricValue>> values;   // in the order of the file

  // Value by name, as a number. Throws Error if there is none or it is text.
  double number(const std::string& name) const;
};

class MetricsLog {
 public:
  explicit MetricsLog(std::filesystem::path path);   // appends; creates the file. Throws Error

  void append(const MetricsLine& line);   // in the file when it returns. Throws Error
  void save();                            // what was appended survives a power failure: to be called before a checkpoint

 private:
  std::filesystem::path path_;
  Descriptor descriptor_;
};

// All lines but a torn last one, which a process that writes, or was killed, leaves. Throws an Error that names file and line
// number for one that is not of the form above.
std::vector<MetricsLine> read_metrics(const std::filesystem::path& path);

// Prepares the log for a run resumed after `step`: removes lines of later steps and a torn last line, so that the log goes
// on as if the run had never stopped. The file is replaced as a whole, and not touched if nothing is to go. Returns the step of
// the last line that is left; 0: there is none.
int64_t rewind_metrics(const std::filesystem::path& path, int64_t step);

}  // namespace tapir
