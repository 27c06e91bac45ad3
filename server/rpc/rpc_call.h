// RpcCall: what every call has in common, whatever its shape: who asks, until when, whether it is
// let in, and the one place that every outcome passes (metrics, request log, trailers). A reactor
// owns one RpcCall, calls Admit first and Finish once.
//
// Thread safety: none of its own but for NewTimer, which any thread may call. Admit, Parse and
// NoteInput run on the handler's thread before another thread sees the call; NoteText, CountItem
// and Finish run under the reactor's own lock.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/encode_task.h"
#include "server/batching/task_timer.h"
#include "server/rpc/service_parts.h"
#include "server/telemetry/metrics.h"
#include "server/text/encode_input.h"
#include "server/wire/response_encoder.h"

namespace longspan {

class RpcCall {
 public:
  RpcCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts);

  // UNAVAILABLE while the server starts or drains, RESOURCE_EXHAUSTED with too much metadata,
  // UNAUTHENTICATED without a known key.
  absl::Status Admit() const;
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
  // What measures one task of this call, from `arrival` on (EncodeTask::Params::timer). Where the
  // call ends before the task does, Finish takes the times and the stage of that moment from it.
  std::shared_ptr<TaskTimer> NewTimer(absl::Time arrival);
  // Where the time of work went that is no text to encode.
  void NoteTimings(const StageTimings& timings) { MaxTimings(timings, &outcome_.timings); }
  // Counts one item of a stream as an outcome of its own.
  void CountItem(const absl::StatusOr<EncodedDocument>& result, const StageTimings& timings);

  // Whether the caller has gone, as far as gRPC knows by now.
  bool gone() const { return context_->IsCancelled(); }
  // What gRPC's OnCancel means here: DEADLINE_EXCEEDED once the deadline has passed, else
  // CANCELLED.
  absl::Status WhyCancelled() const;

  // Records the outcome, adds the trailers, and gives the status to hand to the reactor's Finish.
  grpc::Status Finish(const absl::Status& status);

 private:
  std::string Metadata(const char* name) const;
  void ReadDeadline();
  // Takes the times of the tasks that still run, and the stage that the call ends in.
  void NoteUnfinished();
  void WriteLog(const absl::Status& status, absl::Duration total) const;

  grpc::CallbackServerContext* const context_;
  const ServiceParts* const parts_;
  const absl::Time arrival_;
  absl::Time deadline_;
  std::string client_;
  std::string request_id_;
  std::string traceparent_;
  CallOutcome outcome_;
  int64_t text_bytes_ = 0;  // of all texts; a token id counts 4
  int64_t request_bytes_ = 0;

  absl::Mutex timers_mu_;
  // Those of tasks that run; some that have ended may be among them.
  std::vector<std::shared_ptr<TaskTimer>> timers_ ABSL_GUARDED_BY(timers_mu_);
  size_t sweep_at_ ABSL_GUARDED_BY(timers_mu_) = 16;  // so many timers: the ended ones are dropped
  bool had_tasks_ ABSL_GUARDED_BY(timers_mu_) = false;
};

// Serialised message for a raw reactor.
grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

}  // namespace longspan
