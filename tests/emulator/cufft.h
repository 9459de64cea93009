// The part of cuFFT that tapir uses: real transforms of dense rows, from the definition. Like cuFFT it takes real input where a
// complex number could be, and leaves nothing of what it transforms back.
#pragma once

enum cufftResult {
  CUFFT_SUCCESS = 0, CUFFT_INVALID_PLAN = 1, CUFFT_INVALID_VALUE = 4, CUFFT_UNALIGNED_DATA = 10, CUFFT_NOT_SUPPORTED = 16
};
enum cufftType { CUFFT_R2C = 0x2a, CUFFT_C2R = 0x2c, CUFFT_D2Z = 0x6a, CUFFT_Z2D = 0x6c };
using cufftHandle = int;
using cufftReal = float;
using cufftDoubleReal = double;
struct cufftComplex { float x, y; };
struct cufftDoubleComplex { double x, y; };

cufftResult cufftPlanMany(cufftHandle* plan, int rank, int* n, int* inembed, int istride, int idist, int* onembed, int ostride,
                          int odist, cufftType type, int batch);
cufftResult cufftDestroy(cufftHandle plan);
cufftResult cufftExecR2C(cufftHandle plan, cufftReal* in, cufftComplex* out);
cufftResult cufftExecD2Z(cufftHandle plan, cufftDoubleReal* in, cufftDoubleComplex* out);
// Rows in which an imaginary part has to be 0 and is not become NaN.
cufftResult cufftExecC2R(cufftHandle plan, cufftComplex* in, cufftReal* out);
cufftResult cufftExecZ2D(cufftHandle plan, cufftDoubleComplex* in, cufftDoubleReal* out);
