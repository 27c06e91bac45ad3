# What every target of ours has in common.
#   longspan_options                         warnings are errors; includes are found from the
#                                            repository's root; sanitizers
#   longspan_add_program(NAME MAIN LIBRARY)  a program that finds its libraries both in the build
#                                            folder and where it is installed
#   LONGSPAN_MAP_PATHS                       an option: programs that name no folder of the build

# Messages of assertions, in headers of LibTorch and in crates, name the files that they stand in.
# With this option they name them relative to the folders of the build, so that two builds of the
# same sources are the same bytes wherever they were made. The image is built so. Its programs find
# LibTorch only once they are installed.
option(LONGSPAN_MAP_PATHS "Keep the folders of the build out of the programs" OFF)

# ccache hashes paths below _base relative to the build folder. Where the sources lie beside the
# build folder, as ./dev arranges it, every checkout has the same relative paths and shares what is
# cached. It also hands such paths to the compiler in their relative form, which LONGSPAN_MAP_PATHS
# would not know: messages would differ from those of a build without ccache.
find_program(CCACHE ccache)
if(CCACHE)
  cmake_path(GET CMAKE_SOURCE_DIR PARENT_PATH _base)
  cmake_path(IS_PREFIX _base "${CMAKE_BINARY_DIR}" _beside)
  if(LONGSPAN_MAP_PATHS)
    set(_base "")
  elseif(NOT _beside)
    set(_base "${CMAKE_SOURCE_DIR}")
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env CCACHE_NOHASHDIR=1 "CCACHE_BASEDIR=${_base}" "${CCACHE}")
endif()

if(LONGSPAN_MAP_PATHS)
  # Of several that fit, compilers take the last.
  add_compile_options("-ffile-prefix-map=${LONGSPAN_CACHE}=cache" "-ffile-prefix-map=${CMAKE_BINARY_DIR}=build"
    "-ffile-prefix-map=${CMAKE_SOURCE_DIR}=longspan")
endif()

add_library(longspan_options INTERFACE)
target_include_directories(longspan_options INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(longspan_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wno-unused-parameter -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
if(LONGSPAN_SANITIZER)
  string(REPLACE ";" "," _sanitizers "${LONGSPAN_SANITIZER}")
  add_compile_options(-fsanitize=${_sanitizers} -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${_sanitizers})
  # Under sanitizers g++ 12 warns, without reason, about std::optional.
  target_compile_options(longspan_options INTERFACE -Wno-maybe-uninitialized)
endif()
if(LONGSPAN_SANITIZER STREQUAL "thread")
  # Every program tells ThreadSanitizer what absl does.
  add_library(longspan_thread_sanitizer OBJECT tests/sanitizers/thread_sanitizer.cc)
  target_sources(longspan_options INTERFACE
    $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:$<TARGET_OBJECTS:longspan_thread_sanitizer>>)
endif()

# The RPATH for the installed program names LibTorch's folder as Install.cmake lays it out. That of
# the build folder names the machine's, and would leave its length behind.
function(longspan_add_program name main library)
  add_executable(${name} ${main})
  target_link_libraries(${name} PRIVATE longspan_options ${library})
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}" INSTALL_RPATH "\$ORIGIN/../lib/torch/lib"
    BUILD_WITH_INSTALL_RPATH ${LONGSPAN_MAP_PATHS})
  install(TARGETS ${name} RUNTIME DESTINATION bin OPTIONAL)
endfunction()
