// HD marks what runs on host and device alike: `__host__ __device__` under nvcc, nothing elsewhere.
#pragma once

#ifdef __CUDACC__
#define HD __host__ __device__
#else
#define HD
#endif
