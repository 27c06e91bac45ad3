// CallRecord: what every call has in common, by whichever door it came: who asks, until when, what
// came of its texts, and the one place that every outcome passes (metrics, request log). RpcCall is
// the one of a gRPC call, HttpCall (server/rest) owns the one of an HTTP request.
//
// Thread safety: none of its own. NoteInput runs on the handler's thread before another thread sees
// the call; NoteText, CountItem and Record run under the lock of the call that owns the record.
// NewTimer may be called from any thread.
#pragma once

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
#include "server/batching/task_timer.h"
#include "server/rpc/service_parts.h"
#include "server/telemetry/metrics.h"
#include "server/text/encode_input.h"

namespace longspan {

// What a call says of itself. All of it comes from anybody; CallRecord takes over what is plain.
struct Caller {
  std::string peer;         // "ipv4:127.0.0.1:50712", as gRPC's ServerContext::peer
  std::string request_id;   // x-request-id
  std::string traceparent;  // W3C Trace Context
  // How long it waits; InfiniteDuration = it does not say.
  absl::Duration patience = absl::InfiniteDuration();
};

class CallRecord {
 public:
  CallRecord(RpcMethod method, const ServiceParts* parts, const Caller& caller);
  CallRecord(const CallRecord&) = delete;
  CallRecord& operator=(const CallRecord&) = delete;

  const ServiceParts& parts() const { return *parts_; }
  // The arrival and the deadline are by the engine's clock. A call that brings no deadline has the
  // server's default one.
  absl::Time arrival() const { return arrival_; }
  absl::Time deadline() const { return deadline_; }
  // By whom the queues and the memory are shared: the caller's address without its port, and, once
  // SetKey has told it, the name of its key. So callers behind one proxy are told apart by their
  // keys.
  const std::string& client() const { return client_; }
  // The caller's own id of the request, or a new one.
  const std::string& request_id() const { return request_id_; }

  // UNAVAILABLE while the server starts or drains.
  absl::Status CheckPhase() const;
  // The call was let in by a key of this name, which may be empty. Before other threads see it.
  void SetKey(std::string name);
  // RESOURCE_EXHAUSTED where a message of so many bytes is larger than max_request_bytes.
  absl::Status CheckSize(int64_t bytes);

  // Whose collections the caller sees: those of its key's name, or where no keys are asked for the
  // ones that all callers share. FAILED_PRECONDITION where its key has no name.
  absl::StatusOr<std::string> CollectionOwner() const;

  // What computing is predicted to take, for WhyCancelled.
  void NotePrediction(double seconds) { predicted_seconds_ = seconds; }
  // An error of a deadline with the settings that made it: of the call's, or, for an item of a
  // stream, of the default one that each item has. Other errors stay as they are.
  absl::Status WithDeadlineNote(const absl::Status& status, bool of_item = false) const;

  // Sizes for the log and the metrics: of each text handed in, and of each that has ended.
  void NoteInput(const EncodeInput& input);
  void NoteText(const absl::StatusOr<EncodedDocument>& result, const StageTimings& timings);
  // What measures one task of this call, from `arrival` on (EncodeTask::Params::timer). Where the
  // call ends before the task does, Record takes the times and the stage of that moment from it.
  std::shared_ptr<TaskTimer> NewTimer(absl::Time arrival);
  // Where the time of work went that is no text to encode.
  void NoteTimings(const StageTimings& timings);
  // Counts one item of a stream as an outcome of its own.
  void CountItem(const absl::StatusOr<EncodedDocument>& result, const StageTimings& timings);

  // The call ended without an answer: DEADLINE_EXCEEDED once the deadline has passed, else
  // CANCELLED.
  absl::Status WhyCancelled() const;

  // Counts and logs the outcome. Once.
  void Record(const absl::Status& status);

 protected:
  const std::string& address() const { return address_; }  // without the port

 private:
  std::string DeadlineNote(bool of_item) const;
  // Takes the times of the tasks that still run, and the stage that the call ends in.
  void NoteUnfinished();
  void WriteLog(const absl::Status& status, absl::Duration total) const;

  const ServiceParts* const parts_;
  const absl::Time arrival_;
  const absl::Duration asked_;  // the caller's own deadline, from arrival on
  const absl::Time deadline_;
  double predicted_seconds_ = 0;  // 0 = not known
  const std::string address_;
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
