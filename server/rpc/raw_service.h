// RawService: a gRPC service all of whose methods are served as streams of bytes, also the unary
// ones. On the wire a unary call is a stream with one message each way, so callers see no
// difference. For us there is one: gRPC reads the message of a method that it knows as unary before
// it calls the handler, and of a stream only when it is asked to (StartRead). So keys and metadata
// are checked before anything of the request is kept, beyond the flow-control window of 64 KiB.
//
// Messages arrive as bytes and the calls parse them, so that a malformed one is INVALID_ARGUMENT
// with a reason. Parsed by gRPC it would be INTERNAL.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>

#include <functional>
#include <utility>

namespace longspan {

using RawReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

class RawService : public grpc::Service {
 protected:
  // Makes the reactor of one call; it deletes itself in OnDone. Called from many threads.
  using StartCall = std::function<RawReactor*(grpc::CallbackServerContext* context)>;

  // `path`: "/package.Service/Method", a literal.
  void Serve(const char* path, StartCall start) {
    using grpc::internal::RpcMethod;
    AddMethod(
        new grpc::internal::RpcServiceMethod(path, RpcMethod::BIDI_STREAMING, /*handler=*/nullptr));
    MarkMethodRawCallback(
        num_methods_++, new grpc::internal::CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
                            std::move(start)));
  }

 private:
  int num_methods_ = 0;
};

}  // namespace longspan
