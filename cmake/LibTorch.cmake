# The targets torch_cpu and c10: the CPU part of LibTorch 2.11.0, out of its pinned wheels.
#
# It consists of libtorch_cpu.so, libc10.so, libgomp.so.1 and the two CUDA libraries that
# libtorch_cpu.so is linked against. libtorch_cpu.so finds them by its own RPATH, so torch/ and
# nvidia/ stay side by side, without symlinks. An official LibTorch folder with include/ and lib/
# can be used instead: -DLONGSPAN_LIBTORCH=DIR.
set(LONGSPAN_LIBTORCH "" CACHE PATH "Folder of a LibTorch 2.11 with include/ and lib/; empty = fetch the pinned wheels")
set(LONGSPAN_LIBTORCH_VERSION 2.11.0)

if(LONGSPAN_LIBTORCH)
  set(_torch "${LONGSPAN_LIBTORCH}")
else()
  longspan_fetch_wheel(_torch_wheel torch ${LONGSPAN_LIBTORCH_VERSION} 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a)
  longspan_fetch_wheel(_cudart_wheel nvidia-cuda-runtime 13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548)
  longspan_fetch_wheel(_cupti_wheel nvidia-cuda-cupti 13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8)
  set(_root "${LONGSPAN_CACHE}/libtorch-${LONGSPAN_LIBTORCH_VERSION}")
  if(NOT EXISTS "${_root}/.complete")
    message(STATUS "Unpacking LibTorch ${LONGSPAN_LIBTORCH_VERSION} into ${_root}")
    file(REMOVE_RECURSE "${_root}")
    file(ARCHIVE_EXTRACT INPUT "${_torch_wheel}" DESTINATION "${_root}"
         PATTERNS "torch/include/*" "torch/lib/libtorch_cpu.so" "torch/lib/libc10.so" "torch/lib/libgomp.so.1" "*/LICENSE*" "*/NOTICE*")
    file(ARCHIVE_EXTRACT INPUT "${_cudart_wheel}" DESTINATION "${_root}" PATTERNS "nvidia/cu13/lib/libcudart.so.13" "*/License.txt")
    file(ARCHIVE_EXTRACT INPUT "${_cupti_wheel}" DESTINATION "${_root}" PATTERNS "nvidia/cu13/lib/libcupti.so.13" "*/License.txt")
    file(TOUCH "${_root}/.complete")
  endif()
  set(_torch "${_root}/torch")
endif()
foreach(_library torch_cpu c10)
  if(NOT EXISTS "${_torch}/lib/lib${_library}.so")
    message(FATAL_ERROR "No ${_torch}/lib/lib${_library}.so: point -DLONGSPAN_LIBTORCH at a LibTorch ${LONGSPAN_LIBTORCH_VERSION} folder, or leave it empty to fetch one.")
  endif()
  add_library(${_library} SHARED IMPORTED GLOBAL)
  set_target_properties(${_library} PROPERTIES IMPORTED_LOCATION "${_torch}/lib/lib${_library}.so"
    INTERFACE_INCLUDE_DIRECTORIES "${_torch}/include;${_torch}/include/torch/csrc/api/include")
endforeach()
# libtorch_cpu.so finds its own libraries by its RPATH at run time. The linker does not follow it.
target_link_options(torch_cpu INTERFACE -Wl,--allow-shlib-undefined)
# The target openmp_runtime. A process must have one OpenMP runtime, so our -fopenmp code links the
# libgomp that lies beside LibTorch (libgomp.so.1 in wheels, libgomp-HASH.so.1 in the official
# archives).
add_library(openmp_runtime INTERFACE IMPORTED GLOBAL)
file(GLOB _gomp "${_torch}/lib/libgomp*.so*")
if(_gomp)
  list(GET _gomp 0 _gomp)
  target_link_libraries(openmp_runtime INTERFACE "${_gomp}")
  target_compile_options(openmp_runtime INTERFACE -fopenmp)
else()
  find_package(OpenMP REQUIRED)
  target_link_libraries(openmp_runtime INTERFACE OpenMP::OpenMP_CXX)
endif()
set(LONGSPAN_LIBTORCH_LIB "${_torch}/lib")
