#include "attention/reproduce/program/version.h"

#include <commit.h>

#include "tensor/blas.h"
#include "tensor/cuda.h"
#include "tensor/error.h"
#include "tensor/threads.h"

namespace tapir {

std::vector<std::pair<std::string, std::string>> program_facts() {
#ifdef _OPENMP
  const char* threading = "OpenMP";
#else
  const char* threading = "no OpenMP";
#endif
  return {{"tapir", TAPIR_VERSION},
          {"commit", TAPIR_COMMIT},
          {"compiler", TAPIR_COMPILER},
          {"flags", TAPIR_FLAGS},
          {"threads", text(threads(), " (", threading, ')')},
          {"blas", "OpenBLAS, core " + blas_core()},
          {"devices", cuda::built ? "cpu cuda" : "cpu"},
          {"precisions", "f32 tf32 bf16"}};
}

std::string version_text() {
  std::string lines;
  for (const auto& [name, fact] : program_facts()) lines += text(lines.empty() ? "" : "\n", name, ' ', fact);
  return lines;
}

}  // namespace tapir
