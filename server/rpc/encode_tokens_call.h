// EncodeTokensCall: one EncodeTokens: the token vectors of one text, in messages under 1 MiB, in
// order. The worker pushes rows into a TokenVectorBuffer whose room was reserved; this reactor
// takes a block whenever its last write is done. One block is held back until the next one or the
// end is known, so that the last message can carry timings.
//
// Lifetime and thread safety: as EncodeCall.
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
      : call_("EncodeTokens", context, parts) {}

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
  std::shared_ptr<EncodeTokensCall> self_;
  std::shared_ptr<TokenVectorBuffer> rows_;       // set before the task is handed over
  VectorFormat format_ = VectorFormat::kFloat32;  // likewise

  absl::Mutex mu_;
  grpc::ByteBuffer message_ ABSL_GUARDED_BY(mu_);  // of the write under way
  std::optional<TokenVectorBuffer::Block> held_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::StatusOr<EncodedDocument>> result_ ABSL_GUARDED_BY(mu_);
  StageTimings timings_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool last_written_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
