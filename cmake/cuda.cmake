# NVIDIA GPUs: sources that use the loop engines are CUDA, all others stay C++. Included by the top-level CMakeLists.txt.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual)   # never native: the machine that builds may have no GPU
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)   # CMake 3.25 does not know that nvcc has C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
find_package(CUDAToolkit 12.4 REQUIRED)

# As for C++: a*b+c is not contracted, so that the GPU's bits are the CPU's.
string(REPLACE ";" "," TAPIR_HOST_FLAGS "${TAPIR_MATH_FLAGS}")
if(TAPIR_OPENMP)
  string(APPEND TAPIR_HOST_FLAGS ",${OpenMP_CXX_FLAGS}")
endif()
set(TAPIR_NVCC_FLAGS --expt-relaxed-constexpr -fmad=false "SHELL:-Xcompiler ${TAPIR_HOST_FLAGS}")
foreach(source ${TAPIR_SOURCES})
  file(STRINGS ${source} engines REGEX "#include \"tensor/(parallel|blocks|elementwise|launch)\\.h\"")
  if(engines)
    set_source_files_properties(${source} PROPERTIES LANGUAGE CUDA)
  endif()
endforeach()
target_compile_options(tapir PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:${TAPIR_NVCC_FLAGS}>)
target_link_libraries(tapir PUBLIC CUDA::cudart CUDA::cublas)
