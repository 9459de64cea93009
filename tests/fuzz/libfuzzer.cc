// One program for libFuzzer; TARGET in the environment says what it is about. tests/fuzz/run.sh runs them all.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/fuzz.h"

namespace {

const tapir::fuzz::Target& chosen() {
  const char* const name = std::getenv("TARGET");
  for (const auto& target : tapir::fuzz::targets())
    if (name && std::string_view(name) == target.name) return target;
  std::fprintf(stderr, "TARGET must be one of:");
  for (const auto& target : tapir::fuzz::targets()) std::fprintf(stderr, " %s", target.name);
  std::fprintf(stderr, "\n");
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const tapir::fuzz::Target& target = chosen();
  tapir::fuzz::run(target, {reinterpret_cast<const char*>(bytes), size});
  return 0;
}
