# Writes HEADER, which names the commit that is checked out in SOURCE, where that has changed. For a script: cmake -P.
cmake_minimum_required(VERSION 3.25)
function(git result)
  execute_process(COMMAND git --no-optional-locks ${ARGN} WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE out ERROR_QUIET
                  OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
  set(${result} "${out}" PARENT_SCOPE)
  set(status "${status}" PARENT_SCOPE)
endfunction()

set(TAPIR_COMMIT unknown)
git(prefix rev-parse --show-prefix)
if(status EQUAL 0 AND prefix STREQUAL "")   # else another repository has these files somewhere below
  git(commit rev-parse HEAD)
  if(status EQUAL 0)
    git(changes status --porcelain --untracked-files=no)
    set(TAPIR_COMMIT ${commit})
    if(NOT changes STREQUAL "")
      string(APPEND TAPIR_COMMIT ", with changes")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define TAPIR_COMMIT \"@TAPIR_COMMIT@\"\n" @ONLY)
