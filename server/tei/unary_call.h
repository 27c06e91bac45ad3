// UnaryCall: one unary call of tei.v1, around the ItemWork that its stream uses for each item.
//
// Lifetime and thread safety: those of a RequestCall (server/rpc/request_call.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "server/rpc/item_work.h"
#include "server/rpc/request_call.h"

namespace longspan {

class UnaryCall final : public RequestCall {
 public:
  UnaryCall(RpcMethod method, std::shared_ptr<ItemWork> work, grpc::CallbackServerContext* context,
            const ServiceParts* parts)
      : RequestCall(method, context, parts), work_(std::move(work)) {}

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override;
  void OnWorked(const WorkResult& result);
  void MakeAnswer();

  const std::shared_ptr<ItemWork> work_;
};

}  // namespace longspan
