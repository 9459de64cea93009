# The pages for readers. Their programs are extracted here, built like any other, and run by docs_snippets.
file(GLOB_RECURSE PAGES CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/docs/*.md)
file(GLOB FRONT_PAGES CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/*.md)
list(APPEND PAGES ${FRONT_PAGES})
set(SNIPPETS ${CMAKE_CURRENT_BINARY_DIR}/snippets)
list(TRANSFORM PAGES PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE PAGE_FILES)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PAGE_FILES} extract_snippets.sh)
execute_process(COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/extract_snippets.sh ${PROJECT_SOURCE_DIR} ${SNIPPETS} ${PAGES}
                COMMAND_ERROR_IS_FATAL ANY)

file(GLOB PROGRAMS ${SNIPPETS}/*.cc)
if(TAPIR_CUDA STREQUAL ON)
  tapir_compile_engines(${PROGRAMS})
endif()
foreach(program ${PROGRAMS})
  get_filename_component(name ${program} NAME_WE)
  add_executable(snippet-${name} ${program})
  set_target_properties(snippet-${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${SNIPPETS})
  target_link_libraries(snippet-${name} PRIVATE tapir)
  target_compile_options(snippet-${name} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O1>)
endforeach()

add_test(NAME docs_snippets COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/check_snippets.sh ${PROJECT_SOURCE_DIR} ${SNIPPETS}
                                    $<TARGET_FILE:tapir_cli> ${PAGES})
add_test(NAME docs_links COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/check_links.sh ${PROJECT_SOURCE_DIR} ${PAGES})

# What the pages show works.
add_test(NAME console_faults COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/check_console_faults.sh)
if(CMAKE_BUILD_TYPE STREQUAL Release)   # the others take long
  if(NOT CMAKE_GENERATOR STREQUAL Ninja)
    list(REMOVE_ITEM PAGES docs/4-adding-an-op.md)   # asks ninja
  endif()
  foreach(page ${PAGES})
    file(STRINGS ${PROJECT_SOURCE_DIR}/${page} blocks REGEX "^```(console|sh)$")
    if(blocks)
      string(REGEX REPLACE "\\.md$" "" name ${page})
      string(REPLACE / - name ${name})
      add_test(NAME console_${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/check_console.sh ${PROJECT_SOURCE_DIR}
                                            ${PROJECT_BINARY_DIR} $<TARGET_FILE:tapir_cli> ${page})
    endif()
  endforeach()
endif()
