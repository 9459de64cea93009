// OpenBLAS set up for this library: the kernels that fit the CPU, one thread per call (gemm brings its own threads).
#pragma once
#include <string>

namespace tapir {

// To be called before any BLAS function; only the first call does something. Where OpenBLAS has chosen kernels of an older
// CPU (0.3.21 does so on CPUs that it does not know), better ones replace them, unless the user set OPENBLAS_CORETYPE;
// where that fails, one warning line goes to stderr.
void prepare_blas();

// OpenBLAS's name for the kernels in use, such as "SkylakeX".
std::string blas_core();

// Replaces the kernels by those named `core`. Returns "", or, with the kernels as OpenBLAS itself chooses them, the line
// that tells the user what to do. Not while another thread is in a BLAS function.
std::string select_blas_core(const std::string& core);

}  // namespace tapir
