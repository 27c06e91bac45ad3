// ItemStreamCall: an ItemStream that gRPC carries.
//
//   class EncodeStreamCall final : public ItemStreamCall { NewWork() ... };
//   return ItemStreamCall::Start(std::make_shared<EncodeStreamCall>(context, parts));
//
// A message larger than --max-request-bytes ends the stream, and so does an answer that is not
// taken for long (OpenCalls). gRPC enforces the deadline of the stream.
//
// Lifetime: that of a RequestCall (request_call.h).
// Thread safety: internally synchronised.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/status/status.h"
#include "server/rpc/item_stream.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/raw_service.h"
#include "server/rpc/rpc_call.h"

namespace longspan {

// The record of the call, made before the stream that refers to it.
struct HasRpcCall {
  HasRpcCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts)
      : rpc_(method, context, parts) {}
  RpcCall rpc_;
};

class ItemStreamCall : public RawReactor,
                       public OpenCalls::Reader,
                       private HasRpcCall,
                       public ItemStream {
 public:
  // Takes over the call: gRPC holds it until OnDone.
  static RawReactor* Start(const std::shared_ptr<ItemStreamCall>& call);

  void OnReadDone(bool ok) final;
  void OnWriteDone(bool ok) final;
  void OnCancel() final { OnCallerGone(); }
  void OnDone() final;
  void GiveUpReading(const absl::Status& status) final;

 protected:
  ItemStreamCall(RpcMethod method, AnswerOrder order, grpc::CallbackServerContext* context,
                 const ServiceParts* parts)
      : HasRpcCall(method, context, parts), ItemStream(order, &rpc_) {}

 private:
  absl::Status Admit() final { return rpc_.Admit(); }
  void AskForMessage() final;
  absl::Status NoteMessage(const grpc::ByteBuffer& message) final {
    return rpc_.NoteReceived(message);
  }
  void MessageIsRead() final { rpc_.ReadEnds(); }
  void SendAnswer(const grpc::ByteBuffer& answer) final;
  void FinishStream(const absl::Status& status) final { Finish(rpc_.Finish(status)); }

  std::shared_ptr<ItemStreamCall> self_;  // gRPC's share of this object, given back in OnDone
  grpc::ByteBuffer incoming_;             // touched by the reading side alone
};

}  // namespace longspan
