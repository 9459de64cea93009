# cmake --install: the library with its headers, the program with its experiments, and what find_package(tapir) reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(TAPIR_PACKAGE ${CMAKE_INSTALL_LIBDIR}/cmake/tapir)
install(TARGETS tapir EXPORT tapir)
install(TARGETS tapir_cli)
foreach(folder ${TAPIR_FOLDERS})
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tapir FILES_MATCHING PATTERN *.h
          PATTERN reproduce EXCLUDE PATTERN ops EXCLUDE PATTERN examples EXCLUDE)
endforeach()
set(families ${TAPIR_SOURCES})   # of ops: each has its header; what several of them include is not installed
list(FILTER families INCLUDE REGEX ^autograd/ops/)
list(TRANSFORM families REPLACE "cc$" h)
install(FILES ${families} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tapir/autograd/ops)
install(DIRECTORY attention/reproduce/experiments/ DESTINATION ${CMAKE_INSTALL_DATADIR}/tapir/experiments FILES_MATCHING PATTERN *.toml)
# The program as a library: what a program of one's own includes to add mechanisms, tasks and models.
install(TARGETS tapir_program EXPORT tapir_program)
install(FILES attention/reproduce/program/program.h attention/reproduce/program/experiment.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tapir/attention/reproduce/program)
install(DIRECTORY attention/reproduce/tasks DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tapir/attention/reproduce FILES_MATCHING PATTERN *.h)
install(EXPORT tapir_program NAMESPACE tapir:: FILE tapir-program-targets.cmake DESTINATION ${TAPIR_PACKAGE})
install(EXPORT tapir NAMESPACE tapir:: FILE tapir-targets.cmake DESTINATION ${TAPIR_PACKAGE})

configure_package_config_file(cmake/tapir-config.cmake.in ${PROJECT_BINARY_DIR}/tapir-config.cmake
                              INSTALL_DESTINATION ${TAPIR_PACKAGE})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tapir-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tapir-config.cmake ${PROJECT_BINARY_DIR}/tapir-config-version.cmake
        DESTINATION ${TAPIR_PACKAGE})
