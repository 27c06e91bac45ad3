# What `./dev install DIR` puts into DIR, beside the programs in bin/ (longspan_add_program): lib/
# with the CPU part of LibTorch, laid out as its RPATH wants it; licenses/; and models/. It strips
# libtorch_cpu.so of its symbol table, 93 MB that nothing loads.
install(CODE "file(GLOB openmp \"${LONGSPAN_LIBTORCH_LIB}/libgomp*.so*\")
  file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/torch/lib\" TYPE FILE FILES
    \"${LONGSPAN_LIBTORCH_LIB}/libtorch_cpu.so\" \"${LONGSPAN_LIBTORCH_LIB}/libc10.so\" \${openmp})
  if(CMAKE_INSTALL_DO_STRIP)
    execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-unneeded --preserve-dates
      \"\${CMAKE_INSTALL_PREFIX}/lib/torch/lib/libtorch_cpu.so\" COMMAND_ERROR_IS_FATAL ANY)
  endif()
  file(GLOB cuda \"${LONGSPAN_LIBTORCH_LIB}/../../nvidia/cu13/lib/*.so*\")
  file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/nvidia/cu13/lib\" TYPE FILE FILES \${cuda})
  foreach(package torch nvidia_cuda_runtime nvidia_cuda_cupti)
    file(GLOB licenses \"${LONGSPAN_LIBTORCH_LIB}/../../\${package}-*/licenses/*\")
    file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/licenses/\${package}\" TYPE FILE FILES \${licenses})
  endforeach()")
install(DIRECTORY "${LONGSPAN_EMBEDDED_MODEL}/" DESTINATION models/all-MiniLM-L6-v2 OPTIONAL)
install(FILES LICENSE NOTICE DESTINATION . OPTIONAL)
