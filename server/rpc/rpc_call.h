// RpcCall: what every call has in common, whatever its shape: who asks, until when, whether it is
// let in, and the one place that every outcome passes (metrics, request log, trailers). A reactor
// owns one RpcCall, calls Admit first and Finish once.
//
// Thread safety: none of its own. Admit, Parse and NoteInput run on the handler's thread before
// another thread sees the call; NoteText, CountItem and Finish run under the reactor's own lock.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/batching/encode_task.h"
#include "server/rpc/service_parts.h"
#include "server/telemetry/metrics.h"
#include "server/text/encode_input.h"

namespace longspan {

class RpcCall {
 public:
  RpcCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts);

  // UNAVAILABLE while the server starts or drains, RESOURCE_EXHAUSTED with too much metadata,
  // UNAUTHENTICATED without a known key.
  absl::Status Admit();
  // Parses a request. INVALID_ARGUMENT where it is malformed or a string is not UTF-8.
  absl::Status Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message* message);

  const ServiceParts& parts() const { return *parts_; }
  // The arrival and the deadline are by the engine's clock. A call that brings no deadline has the
  // server's default one.
  absl::Time arrival() const { return arrival_; }
  absl::Time deadline() const { return deadline_; }
  const std::string& client() const { return client_; }

  // Sizes for the log and the metrics: of each text handed in, and of each that has ended.
  void NoteInput(const EncodeInput& input);
  void NoteText(const absl::StatusOr<EncodedDocument>& result, const StageTimings& timings);
  // Counts one item of a stream as an outcome of its own.
  void CountItem(const absl::StatusOr<EncodedDocument>& result, const StageTimings& timings);

  // What gRPC's OnCancel means here: DEADLINE_EXCEEDED once the deadline has passed, else
  // CANCELLED.
  absl::Status WhyCancelled() const;

  // Records the outcome, adds the trailers, and gives the status to hand to the reactor's Finish.
  grpc::Status Finish(const absl::Status& status);

 private:
  std::string Metadata(const char* name) const;
  void ReadDeadline();
  void WriteLog(const absl::Status& status, absl::Duration total) const;

  grpc::CallbackServerContext* const context_;
  const ServiceParts* const parts_;
  const absl::Time arrival_;
  absl::Time deadline_;
  std::string client_;
  std::string request_id_;
  std::string traceparent_;
  std::string key_name_;  // of the key that let the call in, where it has one
  CallOutcome outcome_;
  int64_t text_bytes_ = 0;  // of all texts; a token id counts 4
  int64_t request_bytes_ = 0;
};

// Serialised message for a raw reactor.
grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

}  // namespace longspan
