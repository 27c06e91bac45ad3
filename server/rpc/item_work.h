// ItemWork: the work on one message, from its bytes to the bytes of its answer. The same work
// serves a message that comes alone (server/tei/unary_call.h), one that is an item of a stream
// (item_stream_call.h), and one of several in an HTTP request (server/rest/batch_call.h). These
// calls own the transport; the work knows what the message means.
//
//   Read(parts, message)  decodes it: what is wrong with it, or OK
//   Claim(parts)          what admission should count for it
//   Begin(parts, order)   hands it over and returns; order.done runs once
//   MakeAnswer(&bytes)    once, after `done` was given no error
//
// Lifetime: shared by its call and by what the engine calls back; `done` keeps the call.
// Thread safety: none of its own. The steps follow one another, each on any thread.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/batching/admission.h"
#include "server/batching/answer_room.h"
#include "server/batching/call_size.h"
#include "server/batching/cancel_flag.h"
#include "server/batching/task_timer.h"
#include "server/rpc/call_record.h"
#include "server/rpc/service_parts.h"
#include "server/text/encode_input.h"

namespace longspan {

// How the work on one message ended, before its answer is made.
struct WorkResult {
  // What was read, without vectors, or why there is no answer.
  absl::StatusOr<EncodedDocument> counts;
  StageTimings timings;
  bool encoded = false;    // the model read a text
  int64_t num_values = 0;  // of the answer (OnAnswerThread)
};

// What the call that a message came with gives its work.
struct WorkOrder {
  AdmissionPermit permit;
  std::optional<CallSize> call_size;  // as in EncodeTask::Params
  absl::Time arrival;                 // by the engine's clock
  absl::Time deadline;                // by the engine's clock
  std::shared_ptr<CancelFlag> cancel;
  std::string client;
  std::shared_ptr<TaskTimer> timer;
  std::shared_ptr<AnswerRoom> room;
  // Called once, on any thread, with no lock of the engine held; must not block.
  absl::AnyInvocable<void(WorkResult)> done;
};

class ItemWork : public std::enable_shared_from_this<ItemWork> {
 public:
  virtual ~ItemWork() = default;

  // Must not block. What it allocates may throw (WithoutThrowing). Work that is made of a part of a
  // larger request (server/rest/batch_call.h) is complete when it is made, and is never asked.
  virtual absl::Status Read(const ServiceParts& /*parts*/, const grpc::ByteBuffer& /*message*/) {
    return absl::OkStatus();
  }
  // The text to encode, for the log; null = the model reads none.
  virtual const EncodeInput* input() const { return nullptr; }
  virtual AdmissionClaim Claim(const ServiceParts& parts) const = 0;
  // Bytes of one vector of the answer, as AnswerRoom takes them.
  virtual int64_t VectorBytes(const ServiceParts& /*parts*/) const { return 0; }
  // Bytes that the answer may have at most, as far as the message tells; 0 = few.
  virtual int64_t MostAnswerBytes(const ServiceParts& /*parts*/) const { return 0; }
  // `parts` outlives the work.
  virtual void Begin(const ServiceParts& parts, WorkOrder order) = 0;
  // What it allocates may throw (WithoutThrowing).
  virtual absl::Status MakeAnswer(grpc::ByteBuffer* answer) = 0;

 protected:
  template <typename Derived>
  std::shared_ptr<Derived> Shared() {
    return std::static_pointer_cast<Derived>(shared_from_this());
  }
};

// What ended, for the metrics and the log of its call. Under the call's own lock.
inline void NoteWork(CallRecord* call, const WorkResult& result) {
  if (result.encoded) {
    call->NoteText(result.counts, result.timings);
  } else {
    call->NoteTimings(result.timings);
  }
}

}  // namespace longspan
