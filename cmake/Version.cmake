# base/version.hpp: version, commit, compiler and flags. Written at configure time and again by every build whose commit or
# dirty flag differs, so that only the files that include it are compiled anew.
if(CMAKE_SCRIPT_MODE_FILE)
  set(SWITCHYARD_COMMIT unknown)
  execute_process(COMMAND git rev-parse --short=12 HEAD WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE hash
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    execute_process(COMMAND git --no-optional-locks status --porcelain --untracked-files=no WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE changes ERROR_QUIET)
    set(SWITCHYARD_COMMIT ${hash})
    if(NOT changes STREQUAL "")
      string(APPEND SWITCHYARD_COMMIT "-dirty")
    endif()
  endif()
  configure_file(${SOURCE}/src/base/version.hpp.in ${OUTPUT} @ONLY)  # leaves an equal file alone
  return()
endif()

set(version_header ${CMAKE_BINARY_DIR}/generated/base/version.hpp)
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type_upper)
string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type_upper}} -ffp-contract=off" version_flags)
if(NOT SWITCHYARD_CUDA)
  string(APPEND version_flags " -march=${SWITCHYARD_ARCH}")
endif()
set(version_sentencepiece "none (byte tokenizer only)")
if(SWITCHYARD_SENTENCEPIECE)
  find_package(PkgConfig QUIET)
  pkg_check_modules(sentencepiece_package QUIET sentencepiece)
  set(version_sentencepiece "${sentencepiece_package_VERSION}")
endif()
string(JOIN | version_libraries "yaml-cpp=${yaml-cpp_VERSION}" "CLI11=${CLI11_VERSION}" "fmt=${fmt_VERSION}" "spdlog=${spdlog_VERSION}"
  "json=${nlohmann_json_VERSION}" "sentencepiece=${version_sentencepiece}" "oneDNN=none (own products)")
set(version_command ${CMAKE_COMMAND} -DSOURCE=${CMAKE_CURRENT_LIST_DIR}/.. -DOUTPUT=${version_header}
    -DVERSION=${PROJECT_VERSION} "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}" "-DFLAGS=${version_flags}"
    -DBUILD_TYPE=${CMAKE_BUILD_TYPE} "-DLIBRARIES=${version_libraries}" -P ${CMAKE_CURRENT_LIST_DIR}/Version.cmake)
execute_process(COMMAND ${version_command} COMMAND_ERROR_IS_FATAL ANY)
add_custom_target(version_header COMMAND ${version_command} BYPRODUCTS ${version_header} VERBATIM)
add_library(switchyard_version INTERFACE)
target_include_directories(switchyard_version INTERFACE ${CMAKE_BINARY_DIR}/generated)
add_dependencies(switchyard_version version_header)
