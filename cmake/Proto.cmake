# The target longspan_proto: C++ of our protos, of google.rpc (error details) and of gRPC's
# reflection. google.rpc comes out of a pinned wheel, because Debian has no package of it. gRPC's
# reflection comes out of Debian's package grpc-proto.
find_package(Protobuf REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
longspan_fetch_wheel(_googleapis_wheel googleapis-common-protos 1.76.0 59e13344a9f3651aa201a03e2bee815a3bf43a4baf1f9ff8a9b62a840ce25fac)
set(_googleapis "${LONGSPAN_CACHE}/googleapis-1.76.0")
longspan_unpack("${_googleapis_wheel}" "${_googleapis}" "google/rpc/*.proto" "*/LICENSE")

set(_out "${CMAKE_BINARY_DIR}/proto")
file(MAKE_DIRECTORY "${_out}")
set(_generated)
# Adds the C++ of the proto FILE in the folder ROOT to _generated, with gRPC stubs where SERVICES.
function(_longspan_protoc root file services)
  string(REGEX REPLACE "\\.proto$" "" stem "${file}")
  set(outputs "${_out}/${stem}.pb.cc" "${_out}/${stem}.pb.h")
  set(arguments "--cpp_out=${_out}")
  if(services)
    list(APPEND outputs "${_out}/${stem}.grpc.pb.cc" "${_out}/${stem}.grpc.pb.h")
    list(APPEND arguments "--grpc_out=${_out}" "--plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN}")
  endif()
  add_custom_command(OUTPUT ${outputs}
    COMMAND "${Protobuf_PROTOC_EXECUTABLE}" ${arguments} "-I${root}" "-I${CMAKE_SOURCE_DIR}/proto" "-I${_googleapis}" "${file}"
    DEPENDS "${root}/${file}" VERBATIM)
  set(_generated ${_generated} ${outputs} PARENT_SCOPE)
endfunction()
file(GLOB_RECURSE _protos RELATIVE "${CMAKE_SOURCE_DIR}/proto" CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/proto/*.proto")
foreach(_proto IN LISTS _protos)
  _longspan_protoc("${CMAKE_SOURCE_DIR}/proto" "${_proto}" TRUE)
endforeach()
find_path(GRPC_PROTO_ROOT grpc/reflection/v1/reflection.proto PATHS /usr/share/grpc-proto REQUIRED)
foreach(_proto grpc/reflection/v1/reflection.proto grpc/reflection/v1alpha/reflection.proto)
  _longspan_protoc("${GRPC_PROTO_ROOT}" "${_proto}" TRUE)
endforeach()
foreach(_proto google/rpc/status.proto google/rpc/code.proto google/rpc/error_details.proto)
  _longspan_protoc("${_googleapis}" "${_proto}" FALSE)
endforeach()

add_library(longspan_proto STATIC ${_generated})
target_include_directories(longspan_proto SYSTEM PUBLIC "${_out}")
target_link_libraries(longspan_proto PUBLIC gRPC::grpc++ protobuf::libprotobuf)
