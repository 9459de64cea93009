#include "tensor/blas.h"

#include <cblas.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "tensor/error.h"

namespace tapir {
namespace {

constexpr const char* variable = "OPENBLAS_CORETYPE";

// Kernel sets that use all of this CPU's vector width, best first; empty: unknown CPU, OpenBLAS's choice stands.
std::vector<std::string> fitting_cores() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return {"SkylakeX", "Cooperlake", "SapphireRapids"};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {"Haswell", "Zen"};
#endif
  return {};
}

// OpenBLAS reads the variable when it is loaded, long before us; these two functions make it read again.
void reload() {
  using Function = void (*)();
  const auto quit = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, "gotoblas_dynamic_quit"));
  const auto init = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, "gotoblas_dynamic_init"));
  if (quit == nullptr || init == nullptr) return;
  quit();
  init();
}

}  // namespace

std::string select_blas_core(const std::string& core) {
  setenv(variable, core.c_str(), 1);
  reload();
  unsetenv(variable);
  if (openblas_get_corename() == core) return "";
  reload();
  return text("BLAS runs its ", openblas_get_corename(), " kernels, expected ", core, " for this CPU; set ", variable, "=",
              core, " before the program starts");
}

void prepare_blas() {
  static std::once_flag once;
  std::call_once(once, [] {
    const std::vector<std::string> cores = fitting_cores();
    const bool fits = std::find(cores.begin(), cores.end(), openblas_get_corename()) != cores.end();
    if (!fits && !cores.empty() && std::getenv(variable) == nullptr) {
      const std::string warning = select_blas_core(cores.front());
      if (!warning.empty()) std::fprintf(stderr, "warning: %s\n", warning.c_str());
    }
    openblas_set_num_threads(1);
  });
}

std::string blas_core() {
  prepare_blas();
  return openblas_get_corename();
}

}  // namespace tapir
