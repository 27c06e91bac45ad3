# Files into a program.
#   longspan_embed_files(TARGET HEADER FUNCTION FILE...)
#       adds to TARGET a source file that defines longspan::FUNCTION(), which HEADER declares: name,
#       bytes and SHA-256 of each FILE, in this order
# Run as a script (cmake -P) it writes that source file.
if(CMAKE_SCRIPT_MODE_FILE)
  set(_arrays)
  set(_rows)
  set(_index 0)
  foreach(_file IN LISTS FILES)
    file(READ "${_file}" _bytes HEX)
    string(LENGTH "${_bytes}" _length)
    math(EXPR _length "${_length} / 2")
    # Lines of 24 bytes.
    string(REGEX REPLACE "(................................................)" "\\1\n" _bytes "${_bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," _bytes "${_bytes}")
    file(SHA256 "${_file}" _sha256)
    get_filename_component(_name "${_file}" NAME)
    string(APPEND _arrays "// ${_name}\nconstexpr unsigned char kBytes${_index}[] = {\n${_bytes}\n};\n")
    string(APPEND _rows "    {\"${_name}\", {reinterpret_cast<const char*>(kBytes${_index}), ${_length}}, \"${_sha256}\"},\n")
    math(EXPR _index "${_index} + 1")
  endforeach()
  file(WRITE "${OUTPUT}" "// Made by cmake/EmbedFiles.cmake.
#include \"${HEADER}\"

namespace longspan {
namespace {

${_arrays}
}  // namespace

std::span<const EmbeddedFile> ${FUNCTION}() {
  static const EmbeddedFile files[] = {
${_rows}  };
  return files;
}

}  // namespace longspan
")
  return()
endif()

set(_longspan_embed_script "${CMAKE_CURRENT_LIST_FILE}")
function(longspan_embed_files target header function)
  set(files)
  foreach(file IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
    list(APPEND files "${file}")
  endforeach()
  set(output "${CMAKE_CURRENT_BINARY_DIR}/${function}.cc")
  add_custom_command(OUTPUT "${output}"
    COMMAND ${CMAKE_COMMAND} "-DFILES=${files}" "-DHEADER=${header}" "-DFUNCTION=${function}" "-DOUTPUT=${output}"
            -P "${_longspan_embed_script}"
    DEPENDS ${files} "${_longspan_embed_script}" COMMENT "Embedding the files of ${function}" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()
