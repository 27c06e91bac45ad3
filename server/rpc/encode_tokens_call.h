// EncodeTokensCall: one EncodeTokens: the token vectors of one text, in order, in messages under
// 1 MiB. The worker pushes rows into a TokenVectorBuffer, whose memory admission has reserved. This
// reactor takes a block out whenever its last write is done. It holds one block back until the next
// block or the end of the text has come, because the last message carries the timings.
//
// Lifetime and thread safety: those of a RequestCall (request_call.h).
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "server/batching/token_vector_buffer.h"
#include "server/rpc/request_call.h"
#include "server/wire/vector_format.h"

namespace longspan {

class EncodeTokensCall final : public RequestCall {
 public:
  EncodeTokensCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(RpcMethod::kEncodeTokens, context, parts) {}

  void OnWriteDone(bool ok) override;

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override;
  void OnGoneLocked() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnClosed() override;
  void OnEnd(absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
  void Pump();
  // Writes the next message, where one is ready and none is under way, or ends the call.
  void PumpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status WriteNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteLocked(TokenVectorBuffer::Block block, bool last) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Set before the task is handed over, then constant.
  VectorFormat format_ = VectorFormat::kFloat32;
  std::string id_;  // of the input

  // Set before the task is handed over.
  std::shared_ptr<TokenVectorBuffer> rows_ ABSL_GUARDED_BY(mu_);
  grpc::ByteBuffer message_ ABSL_GUARDED_BY(mu_);                      // the message being written
  std::optional<TokenVectorBuffer::Block> held_ ABSL_GUARDED_BY(mu_);  // the block held back
  std::optional<absl::StatusOr<EncodedDocument>> result_ ABSL_GUARDED_BY(mu_);
  StageTimings timings_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool last_written_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
