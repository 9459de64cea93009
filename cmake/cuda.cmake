# NVIDIA GPUs: sources that use the loop engines are CUDA, all others stay C++. Included by the top-level CMakeLists.txt.
find_package(CUDAToolkit 12.4 REQUIRED)
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})   # it may be out of PATH
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)   # never native: the machine that builds may have no GPU
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real)
  if(CUDAToolkit_VERSION VERSION_LESS 12.8)   # and for every later GPU the newest PTX that it takes
    list(APPEND CMAKE_CUDA_ARCHITECTURES 90-virtual)
  else()
    list(APPEND CMAKE_CUDA_ARCHITECTURES 100-virtual)
  endif()
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)   # CMake 3.25 does not know that nvcc has C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()

# nvcc's stubs trip over -Wextra. As for C++, a*b+c is not contracted, so that the GPU's bits are the CPU's.
list(JOIN TAPIR_MATH_FLAGS , TAPIR_HOST_FLAGS)
if(TAPIR_OPENMP)
  string(APPEND TAPIR_HOST_FLAGS ",${OpenMP_CXX_FLAGS}")
endif()
set(TAPIR_NVCC_FLAGS "--expt-relaxed-constexpr -fmad=false")
if(TAPIR_WERROR)
  string(APPEND TAPIR_NVCC_FLAGS " -Werror all-warnings")
endif()
target_compile_options(tapir_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:${TAPIR_NVCC_FLAGS} -Xcompiler -Wall,${TAPIR_HOST_FLAGS}>")

# Whether a file of the project uses the loop engines: itself, or through a header of the project.
function(tapir_uses_engines file result)
  get_property(known GLOBAL PROPERTY "tapir_uses_engines ${file}")
  if("${known}" STREQUAL "")
    set_property(GLOBAL PROPERTY "tapir_uses_engines ${file}" NO)
    file(STRINGS ${file} includes REGEX "^#include \"")
    set(known NO)
    foreach(include ${includes})
      string(REGEX REPLACE "^#include \"([^\"]*)\".*" "\\1" header ${include})
      if(header MATCHES "^tensor/(parallel|blocks|rounded|elementwise|launch)\\.h$")
        set(known YES)
      elseif(NOT known AND EXISTS ${PROJECT_SOURCE_DIR}/${header})
        tapir_uses_engines(${PROJECT_SOURCE_DIR}/${header} known)
      endif()
    endforeach()
    set_property(GLOBAL PROPERTY "tapir_uses_engines ${file}" ${known})
  endif()
  set(${result} ${known} PARENT_SCOPE)
endfunction()

# Those of the sources that use the loop engines become CUDA.
function(tapir_compile_engines)
  foreach(source ${ARGN})
    get_filename_component(path ${source} ABSOLUTE)
    tapir_uses_engines(${path} is_engine_unit)
    if(is_engine_unit)
      set_source_files_properties(${source} PROPERTIES LANGUAGE CUDA)
    endif()
  endforeach()
endfunction()
