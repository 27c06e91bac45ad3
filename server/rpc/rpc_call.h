// RpcCall: what every call has in common, whatever its shape: who asks, until when, whether it is
// let in, and the one place that every outcome passes (metrics, request log, trailers). A reactor
// owns one RpcCall, calls Admit first and Finish once.
//
// While it is open, the call is one of OpenCalls, from the constructor to Close.
//
// Thread safety: none of its own. Admit, Parse and NoteInput run on the handler's thread before
// another thread sees the call; NoteText, CountItem and Finish run under the reactor's own lock.
// ReadBegins to WriteEnds, until Close, and NewTimer may be called from any thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/encode_task.h"
#include "server/batching/task_timer.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/service_parts.h"
#include "server/telemetry/metrics.h"
#include "server/text/encode_input.h"
#include "server/wire/response_encoder.h"

namespace longspan {

class RpcCall {
 public:
  RpcCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts);

  ~RpcCall() { Close(); }
  RpcCall(const RpcCall&) = delete;
  RpcCall& operator=(const RpcCall&) = delete;

  // UNAVAILABLE while the server starts or drains, RESOURCE_EXHAUSTED with too much metadata,
  // UNAUTHENTICATED without a known key.
  absl::Status Admit();
  // Counts a message that has come: from now on a drain waits for the answer. RESOURCE_EXHAUSTED
  // where it is larger than max_request_bytes.
  absl::Status NoteReceived(const grpc::ByteBuffer& message);
  // Parses a request. INVALID_ARGUMENT where it is malformed, a string is not UTF-8, or it repeats
  // a field more often than allowed (wire_limits.h), which is found before anything is built.
  absl::Status Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message* message);
  // Why a call that should have one request has none.
  absl::Status WhyNoRequest() const;

  // What OpenCalls should know.
  void ReadBegins(std::weak_ptr<OpenCalls::Reader> reader, bool whole_request);
  void ReadEnds();
  void WriteBegins(int64_t bytes);
  void WriteEnds();
  // Ends the call where a message under way keeps it from ending with a status of its own.
  void Cancel() const { context_->TryCancel(); }
  // gRPC holds nothing of the call any more: called in OnDone. Calls after the first do nothing.
  void Close();

  const ServiceParts& parts() const { return *parts_; }
  // The arrival and the deadline are by the engine's clock. A call that brings no deadline has the
  // server's default one.
  absl::Time arrival() const { return arrival_; }
  absl::Time deadline() const { return deadline_; }
  // By whom the queues and the memory are shared: the caller's address without its port, and, once
  // Admit has let the call in, the name of its key where it has one. So callers behind one proxy
  // are told apart by their keys.
  const std::string& client() const { return client_; }

  // What computing is predicted to take, for WhyCancelled.
  void NotePrediction(double seconds) { predicted_seconds_ = seconds; }
  // An error of a deadline with the settings that made it: of the call's, or, for an item of a
  // stream, of the default one that each item has. Other errors stay as they are.
  absl::Status WithDeadlineNote(const absl::Status& status, bool of_item = false) const;

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
  std::string DeadlineNote(bool of_item) const;
  // Takes the times of the tasks that still run, and the stage that the call ends in.
  void NoteUnfinished();
  void WriteLog(const absl::Status& status, absl::Duration total) const;

  grpc::CallbackServerContext* const context_;
  bool open_ = true;          // until Close
  OpenCalls::Handle listed_;  // valid until Close
  const ServiceParts* const parts_;
  const absl::Time arrival_;
  absl::Time deadline_;
  absl::Duration asked_ = absl::InfiniteDuration();  // the caller's own deadline, from arrival on
  double predicted_seconds_ = 0;                     // 0 = not known
  const std::string address_;                        // without the port
  std::string client_;
  std::string request_id_;
  std::string traceparent_;
  std::string key_name_;  // of the key that let the call in, where it has one
  CallOutcome outcome_;
  int64_t text_bytes_ = 0;  // of all texts; a token id counts 4
  int64_t request_bytes_ = 0;
  std::array<int64_t, kNumCodes> items_by_code_ = {};  // of a stream

  absl::Mutex timers_mu_;
  // Those of tasks that run; some that have ended may be among them.
  std::vector<std::shared_ptr<TaskTimer>> timers_ ABSL_GUARDED_BY(timers_mu_);
  size_t sweep_at_ ABSL_GUARDED_BY(timers_mu_) = 16;  // so many timers: the ended ones are dropped
  bool had_tasks_ ABSL_GUARDED_BY(timers_mu_) = false;
};

// The result of `step`, or why it threw: RESOURCE_EXHAUSTED where memory was short. The call that
// asked for too much pays for it, not the process.
template <typename Step>
absl::Status WithoutThrowing(const Step& step) {
  try {
    return step();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("the call does not fit in memory");
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace longspan
