// tapir --version
#include <fmt/core.h>

#include "attention/reproduce/program/commands.h"
#include "tensor/blas.h"
#include "tensor/cuda.h"
#include "tensor/threads.h"

namespace tapir {

std::string version_text() {
#ifdef _OPENMP
  const char* threading = "OpenMP";
#else
  const char* threading = "no OpenMP";
#endif
  return fmt::format("tapir {}\ncompiler {}\nflags {}\nthreads {} ({})\nblas OpenBLAS, core {}\ndevices cpu{}\n"
                     "precisions f32 tf32 bf16",
                     TAPIR_VERSION, TAPIR_COMPILER, TAPIR_FLAGS, threads(), threading, blas_core(),
                     cuda::built ? " cuda" : "");
}

}  // namespace tapir
