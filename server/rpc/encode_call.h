// EncodeCall: one unary Encode, all or nothing. It decodes the request, acquires permits for all
// texts or none, and hands one task per text over. The last answer finishes the call. The first
// error finishes it too, and cancels the texts that still wait.
//
// Lifetime: shared by gRPC (until OnDone) and the tasks' callbacks, freed with the last of them. A
// task that ends after the call has finished finds `ended_` and does nothing.
// Thread safety: internally synchronised.
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/cancel_flag.h"
#include "server/rpc/rpc_call.h"
#include "server/wire/vector_format.h"

namespace longspan {

class EncodeCall final : public grpc::ServerUnaryReactor,
                         public std::enable_shared_from_this<EncodeCall> {
 public:
  static grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer* response, const ServiceParts* parts);

  EncodeCall(grpc::CallbackServerContext* context, grpc::ByteBuffer* response,
             const ServiceParts* parts)
      : call_(RpcMethod::kEncode, context, parts), wire_response_(response) {}

  void OnCancel() override;
  void OnDone() override { self_.reset(); }

 private:
  absl::Status Run(const grpc::ByteBuffer& request);
  absl::Status Submit(std::vector<EncodeInput> inputs);
  void OnText(size_t index, absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
  void EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RpcCall call_;
  grpc::ByteBuffer* const wire_response_;  // gRPC's own; may be written until OnDone
  const std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();
  std::shared_ptr<EncodeCall> self_;  // gRPC's share of this object, given back in OnDone
  // Set before the first task is handed over, then constant.
  VectorFormat format_ = VectorFormat::kFloat32;
  std::vector<std::string> ids_;

  absl::Mutex mu_;
  v1::EncodeResponse response_ ABSL_GUARDED_BY(mu_);
  StageTimings timings_ ABSL_GUARDED_BY(mu_);
  size_t missing_ ABSL_GUARDED_BY(mu_) = 0;  // texts without an answer yet
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
