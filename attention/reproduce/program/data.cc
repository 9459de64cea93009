// tapir data
#include <fmt/core.h>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/streams.h"
#include "datasets/catalog.h"
#include "datasets/location.h"
#include "tensor/error.h"

namespace tapir {

int run_data_list() {
  fmt::print("data sets under {} (TAPIR_DATA)\n", data_root().string());
  for (const DataSet& set : data_sets())
    fmt::print("{:<16} {:<8} {}\n{:<16} {:<8} source: {}; licence: {}\n", set.name,
               set.is_present() ? "present" : "missing", set.contents, "", "", set.source, set.licence);
  return 0;
}

int run_data_verify() {
  bool all_exact = true, found = false;
  for (const DataSet& set : data_sets()) {
    found = found || set.is_present();
    for (const FileCheck& check : verify(set)) {
      const char* status = check.status == FileStatus::exact     ? "exact"
                           : check.status == FileStatus::missing ? "missing"
                                                                 : "different";
      fmt::print("{:<39} {:<10} {:>11} {:<6}  {}\n", check.name, status, check.tokens, set.is_text() ? "tokens" : "bytes",
                 check.detail);
      all_exact = all_exact && check.status != FileStatus::different;
    }
  }
  if (!all_exact) return 1;
  if (found) return 0;
  flush_output();   // the list comes before the error
  throw Error("data verify", text("there is no whole data set under ", data_root().string()),
              "put the files where they are expected, or set TAPIR_DATA to the folder that has wikitext-2/");
}

}  // namespace tapir
