#include "datasets/location.h"

#include <cstdlib>

#include "tensor/error.h"

namespace tapir {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::filesystem::path data_root() {
  if (const auto root = environment("TAPIR_DATA"); !root.empty()) return root;
  const auto home = environment("HOME");
  require(
      !home.empty(), "data", [] { return "neither TAPIR_DATA nor HOME is set"; },
      "set TAPIR_DATA to the folder of the data sets");
  return std::filesystem::path(home) / ".cache" / "tapir";
}

std::filesystem::path require_file(std::string_view data_set, const std::filesystem::path& folder, std::string_view file,
                                   std::string_view hint) {
  auto path = folder / file;
  std::error_code ignored;
  require(
      std::filesystem::exists(path, ignored), data_set, [&] { return text(path.string(), " is missing"); }, hint);
  return path;
}

}  // namespace tapir
