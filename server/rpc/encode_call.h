// EncodeCall: one unary Encode. Decodes, acquires permits for all texts or none, hands one task per
// text over; the last answer finishes the call, the first error does too and cancels the rest: all
// or nothing.
//
// Lifetime: shared by gRPC (until OnDone) and the tasks' callbacks, freed with the last; a task
// that ends after the call has finished finds `ended_` and does nothing. Thread safety: internally
// synchronised.
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
      : call_("Encode", context, parts), wire_response_(response) {}

  void OnCancel() override;
  void OnDone() override { self_.reset(); }

 private:
  absl::Status Run(const grpc::ByteBuffer& request);
  absl::Status Submit(std::vector<EncodeInput> inputs);
  void OnText(size_t index, absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
  void EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RpcCall call_;
  grpc::ByteBuffer* const wire_response_;  // gRPC's; good until OnDone
  const std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();
  std::shared_ptr<EncodeCall> self_;              // gRPC's share
  VectorFormat format_ = VectorFormat::kFloat32;  // set before the first task
  std::vector<std::string> ids_;                  // likewise

  absl::Mutex mu_;
  v1::EncodeResponse response_ ABSL_GUARDED_BY(mu_);
  StageTimings timings_ ABSL_GUARDED_BY(mu_);
  size_t missing_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
