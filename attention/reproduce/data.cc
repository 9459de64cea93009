// tapir data
#include <fmt/core.h>

#include "attention/reproduce/commands.h"
#include "datasets/catalog.h"
#include "datasets/location.h"

namespace tapir {

int run_data_list() {
  fmt::print("data sets under {} (TAPIR_DATA)\n", data_root().string());
  for (const DataSet& set : data_sets())
    fmt::print("{:<14} {:<8} {}\n{:<14} {:<8} source: {}; licence: {}\n", set.name,
               set.is_present() ? "present" : "missing", set.contents, "", "", set.source, set.licence);
  return 0;
}

int run_data_verify() {
  bool all_exact = true;
  for (const DataSet& set : data_sets())
    for (const FileCheck& check : verify(set)) {
      const char* status = check.status == FileStatus::exact     ? "exact"
                           : check.status == FileStatus::missing ? "missing"
                                                                 : "different";
      fmt::print("{:<34} {:<10} {:>10} tokens  {}\n", check.name, status, check.tokens, check.detail);
      all_exact = all_exact && check.status != FileStatus::different;
    }
  return all_exact ? 0 : 1;
}

}  // namespace tapir
