// EncodeTokensCall: one EncodeTokens: the token vectors of one text, in order, in messages under
// 1 MiB. The worker pushes rows into a TokenVectorBuffer, whose memory admission has reserved. This
// reactor takes a block out whenever its last write is done. It holds one block back until the next
// block or the end of the text has come, because the last message carries the timings.
//
// Lifetime and thread safety: those of an EncodeCall (encode_call.h).
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/cancel_flag.h"
#include "server/batching/token_vector_buffer.h"
#include "server/rpc/rpc_call.h"
#include "server/wire/vector_format.h"

namespace longspan {

class EncodeTokensCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                               public std::enable_shared_from_this<EncodeTokensCall> {
 public:
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer& request,
                                                           const ServiceParts* parts);

  EncodeTokensCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : call_(RpcMethod::kEncodeTokens, context, parts) {}

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  absl::Status Run(const grpc::ByteBuffer& request);
  void OnEnd(absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
  void Pump();
  void PumpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteLocked(TokenVectorBuffer::Block block, bool last) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RpcCall call_;
  const std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();
  std::shared_ptr<EncodeTokensCall> self_;  // gRPC's share of this object, given back in OnDone
  // Set before the task is handed over, then constant.
  std::shared_ptr<TokenVectorBuffer> rows_;
  VectorFormat format_ = VectorFormat::kFloat32;

  absl::Mutex mu_;
  grpc::ByteBuffer message_ ABSL_GUARDED_BY(mu_);                      // the message being written
  std::optional<TokenVectorBuffer::Block> held_ ABSL_GUARDED_BY(mu_);  // the block held back
  std::optional<absl::StatusOr<EncodedDocument>> result_ ABSL_GUARDED_BY(mu_);
  StageTimings timings_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool last_written_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
