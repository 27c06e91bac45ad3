# The targets c10_cuda and torch_cuda: the CUDA part of LibTorch, as far as the linker asks for it.
# LONGSPAN_TORCH_CUDA_LIB is the folder of libc10_cuda.so. A LibTorch of -DLONGSPAN_LIBTORCH that
# has no CUDA part gives no such targets, and so no plugin for cards.
#
# The plugin is linked here and runs beside a LibTorch with all its CUDA libraries (3 GB), of which
# a build needs next to nothing. The plugin calls functions of libc10_cuda.so, so that file comes
# out of the pinned wheel. Of libtorch_cuda.so it calls none: LibTorch's operators find their
# kernels there once it is loaded. A library without content bears its name, so that the plugin asks
# for it.
if(LONGSPAN_LIBTORCH)
  set(LONGSPAN_TORCH_CUDA_LIB "${LONGSPAN_LIBTORCH}/lib")
else()
  set(LONGSPAN_TORCH_CUDA_LIB "${LONGSPAN_CACHE}/libtorch-cuda-${LONGSPAN_LIBTORCH_VERSION}/torch/lib")
  longspan_unpack("${_torch_wheel}" "${LONGSPAN_CACHE}/libtorch-cuda-${LONGSPAN_LIBTORCH_VERSION}" "torch/lib/libc10_cuda.so")
endif()
if(EXISTS "${LONGSPAN_TORCH_CUDA_LIB}/libc10_cuda.so")
  add_library(c10_cuda SHARED IMPORTED GLOBAL)
  set_target_properties(c10_cuda PROPERTIES IMPORTED_LOCATION "${LONGSPAN_TORCH_CUDA_LIB}/libc10_cuda.so")
  # libc10_cuda.so finds CUDA's own libraries by its RPATH at run time. The linker does not follow
  # it.
  target_link_options(c10_cuda INTERFACE -Wl,--allow-shlib-undefined)

  set(_empty "${CMAKE_BINARY_DIR}/torch_cuda/empty.cc")
  if(NOT EXISTS "${_empty}")
    file(WRITE "${_empty}" "")
  endif()
  add_library(torch_cuda SHARED "${_empty}")
  set_target_properties(torch_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/torch_cuda")
  target_link_options(torch_cuda INTERFACE -Wl,--no-as-needed)
else()
  message(STATUS "No libc10_cuda.so in ${LONGSPAN_TORCH_CUDA_LIB}: the plugin for NVIDIA cards is left out")
endif()
