# longspan_add_cuda_kernels(TARGET [HOPPER FILE...] [ANY FILE...]): a static library of CUDA
# kernels. HOPPER files are compiled for compute capability 9.0 only (wgmma), ANY files for 8.0, 9.0
# and, as PTX, for what comes later. nvcc and its headers come out of pinned wheels as the first
# kernel is built (105 MB), so no machine needs CUDA installed, nor a card. The runtime is linked
# statically; it looks for the driver when it is first called.
option(LONGSPAN_CUDA "Compile the CUDA kernels" ON)
set(LONGSPAN_CUDA_TOOLKIT "" CACHE PATH "Folder of a CUDA 13 toolkit with bin/, include/ and lib/; empty = fetch the pinned wheels")

if(LONGSPAN_CUDA_TOOLKIT)
  set(_toolkit "${LONGSPAN_CUDA_TOOLKIT}")
  set(_toolkit_ready "${_toolkit}/bin/nvcc")
else()
  set(_toolkit "${LONGSPAN_CACHE}/cuda-13.0.88/nvidia/cu13")
  set(_toolkit_ready "${CMAKE_BINARY_DIR}/cuda_toolkit.ready")
  add_custom_command(
    OUTPUT "${_toolkit_ready}"
    COMMAND ${CMAKE_COMMAND} "-DLONGSPAN_CACHE=${LONGSPAN_CACHE}" "-DPython3_EXECUTABLE=${Python3_EXECUTABLE}"
            "-DREADY=${_toolkit_ready}" -P "${CMAKE_SOURCE_DIR}/cmake/FetchCuda.cmake"
    DEPENDS "${CMAKE_SOURCE_DIR}/cmake/FetchCuda.cmake" "${CMAKE_SOURCE_DIR}/cmake/Wheel.cmake"
    COMMENT "Fetching nvcc (once)" VERBATIM)
  # Rules of this folder are known to others through a target only.
  add_custom_target(longspan_cuda_toolkit DEPENDS "${_toolkit_ready}")
endif()

function(longspan_add_cuda_kernels target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HOPPER;ANY")
  set(hopper -gencode=arch=compute_90a,code=sm_90a)
  set(any -gencode=arch=compute_80,code=[sm_80,compute_80] -gencode=arch=compute_90,code=sm_90)
  set(objects)
  foreach(kind HOPPER ANY)
    foreach(source IN LISTS arg_${kind})
      get_filename_component(name "${source}" NAME_WE)
      set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}.cu.o")
      string(TOLOWER ${kind} flags)
      add_custom_command(
        OUTPUT "${object}"
        COMMAND "${_toolkit}/bin/nvcc" -std=c++20 -O3 --expt-relaxed-constexpr -Xcompiler=-fPIC,-Wall ${${flags}}
                -I "${CMAKE_SOURCE_DIR}" -isystem "${_toolkit}/include" -isystem "${_toolkit}/include/cccl"
                -MD -MF "${object}.d" -c "${CMAKE_CURRENT_SOURCE_DIR}/${source}" -o "${object}"
        DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${source}" "${_toolkit_ready}"
        DEPFILE "${object}.d" COMMENT "Building CUDA object ${source}" VERBATIM)
      list(APPEND objects "${object}")
    endforeach()
  endforeach()
  add_library(${target} STATIC ${objects})
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(${target} SYSTEM INTERFACE "${_toolkit}/include")
  target_link_libraries(${target} INTERFACE "-L${_toolkit}/lib" -l:libcudart_static.a Threads::Threads dl rt)
endfunction()
