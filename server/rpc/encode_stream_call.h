// EncodeStreamCall: one EncodeStream. Texts come in, encodings go out as they are ready, each with
// its own status. A bad item never ends the stream.
//
// Lifetime and thread safety: those of an ItemStreamCall (item_stream_call.h).
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <memory>

#include "server/rpc/item_stream_call.h"

namespace longspan {

class EncodeStreamCall final : public ItemStreamCall {
 public:
  EncodeStreamCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : ItemStreamCall(RpcMethod::kEncodeStream, AnswerOrder::kAsReady, context, parts) {}

 private:
  std::shared_ptr<ItemWork> NewWork() override;
  grpc::ByteBuffer MakeRefusal(const ItemWork& work, const absl::Status& status) override;

  v1::EncodeOptions options_;  // of the latest message that brought options
};

}  // namespace longspan
