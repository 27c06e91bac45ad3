# The target longspan_tokenizers_ffi: the Hugging Face tokenizers crate behind our C ABI
# (core/tokenizer/ffi), as a static library.
set(_ffi "${CMAKE_SOURCE_DIR}/core/tokenizer/ffi")
if(NOT EXISTS "${_ffi}/Cargo.toml")
  add_library(longspan_tokenizers_ffi INTERFACE)
  return()
endif()
find_program(CARGO cargo REQUIRED)
file(GLOB_RECURSE _ffi_sources CONFIGURE_DEPENDS "${_ffi}/src/*.rs")
set(_ffi_archive "${CMAKE_BINARY_DIR}/tokenizers/liblongspan_tokenizers.a")
add_custom_command(
  OUTPUT "${_ffi_archive}"
  COMMAND ${CMAKE_COMMAND} "-DCARGO=${CARGO}" "-DFFI=${_ffi}" "-DCACHE=${LONGSPAN_CACHE}" "-DARCHIVE=${_ffi_archive}"
          -DMAP_PATHS=${LONGSPAN_MAP_PATHS} -P "${CMAKE_SOURCE_DIR}/cmake/BuildTokenizers.cmake"
  DEPENDS ${_ffi_sources} "${_ffi}/Cargo.toml" "${_ffi}/Cargo.lock" "${CMAKE_SOURCE_DIR}/cmake/BuildTokenizers.cmake"
  COMMENT "Building the tokenizers crate (two minutes the first time)" USES_TERMINAL VERBATIM)
add_custom_target(longspan_tokenizers_build DEPENDS "${_ffi_archive}")
add_library(longspan_tokenizers_ffi STATIC IMPORTED GLOBAL)
set_target_properties(longspan_tokenizers_ffi PROPERTIES IMPORTED_LOCATION "${_ffi_archive}"
  INTERFACE_LINK_LIBRARIES "dl;pthread;m")
add_dependencies(longspan_tokenizers_ffi longspan_tokenizers_build)
