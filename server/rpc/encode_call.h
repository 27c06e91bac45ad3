// EncodeCall: one unary Encode, all or nothing. It decodes the request, acquires permits for all
// texts or none, and hands one task per text over. Each text's encoding is serialised when it is
// ready. The last one finishes the call. The first error finishes it too, and cancels the texts
// that still wait.
//
// Lifetime and thread safety: those of a RequestCall (request_call.h).
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "server/rpc/request_call.h"
#include "server/wire/request_decoder.h"
#include "server/wire/vector_format.h"

namespace longspan {

class EncodeCall final : public RequestCall {
 public:
  EncodeCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : RequestCall(RpcMethod::kEncode, context, parts) {}

 private:
  absl::Status Run(const grpc::ByteBuffer& request) override;
  absl::Status Submit(DecodedRequest request);
  void OnText(size_t index, absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
  // Puts the encoding of one text where it belongs; the last one ends the call. The message is made
  // without the lock: a caller that goes away must not wait for it on a thread of gRPC.
  void Add(size_t index, EncodedDocument document);
  // An error of one text, with its path and its id.
  absl::Status AtInput(size_t index, const absl::Status& status) const;
  // Joins the encodings and the rest of the message.
  absl::Status CloseResponseLocked(std::vector<grpc::Slice>* answer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Set before the first task is handed over, then constant; each id is taken by its own text.
  VectorFormat format_ = VectorFormat::kFloat32;
  std::vector<std::string> ids_;

  // EncodeResponse.encodings in order, each with its tag and length.
  std::vector<std::vector<grpc::Slice>> response_ ABSL_GUARDED_BY(mu_);
  StageTimings timings_ ABSL_GUARDED_BY(mu_);
  size_t missing_ ABSL_GUARDED_BY(mu_) = 0;  // texts without an answer yet
};

}  // namespace longspan
