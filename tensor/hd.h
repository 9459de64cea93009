// HD marks what runs on host and device alike: `__host__ __device__` under nvcc, nothing elsewhere. CALLS_HOST stands before
// what is HD by name, since code for both mentions it, and runs on the host alone: the CPU's team of all threads.
#pragma once

#ifdef __CUDACC__
#define HD __host__ __device__
#define CALLS_HOST _Pragma("nv_exec_check_disable")
#else
#define HD
#define CALLS_HOST
#endif
// Forced, because a loop vectorises only over what is inlined, and compilers deem long polynomials too big.
#define HD_INLINE [[gnu::always_inline]] HD inline
