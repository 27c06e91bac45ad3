// EncodeStreamCall: one EncodeStream. Texts come in, encodings go out as they are ready, each with
// its own status. A bad item never ends the stream.
//
// Flow control bounds the memory that a fast writer or a slow reader can take: the next input is
// read only while fewer than --max-stream-inputs are in work or unsent and less than 4 MiB of
// answers wait. An item that admission refuses while others of this stream are running is parked
// and tried again when one of them ends, so the stream is slowed and not refused. Where the item is
// alone, the refusal becomes its status.
//
// Each answer has its room counted (AnswerRoom) from before it is computed until its reader has
// taken it. A message larger than --max-request-bytes ends the stream, and so does an answer that
// is not taken for long (OpenCalls).
//
// When the server drains, the stream reads no more. It ends with UNAVAILABLE once what it has read
// is answered, so at once where its caller merely keeps it open. An input without an answer has not
// been worked on.
//
// Each item has the server's default deadline, counted from when it is handed over. gRPC enforces
// the deadline of the stream itself.
//
// Lifetime: that of an EncodeCall (encode_call.h). No callback of the engine runs under mu_.
// Thread safety: internally synchronised.
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/admission.h"
#include "server/batching/answer_room.h"
#include "server/batching/cancel_flag.h"
#include "server/rpc/drain_bell.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/raw_service.h"
#include "server/rpc/rpc_call.h"
#include "server/wire/vector_format.h"

namespace longspan {

class EncodeStreamCall final : public RawReactor,
                               public DrainListener,
                               public OpenCalls::Reader,
                               public std::enable_shared_from_this<EncodeStreamCall> {
 public:
  static RawReactor* Start(grpc::CallbackServerContext* context, const ServiceParts* parts);

  EncodeStreamCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : call_(RpcMethod::kEncodeStream, context, parts) {}

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void OnDrain() override;
  void GiveUpReading(const absl::Status& status) override;

 private:
  // One input between its arrival and its answer.
  struct Item {
    std::string id;
    EncodeInput input;
    VectorFormat format = VectorFormat::kFloat32;
  };
  // One answer between its making and its sending.
  struct Answer {
    grpc::ByteBuffer bytes;
    std::shared_ptr<AnswerRoom> room;  // null where it holds no vector
  };

  // Decodes an input and hands it over, on a thread of gRPC, or of the tokenizer pool where it is
  // large (message_threads.h). `status`: why it cannot be read; OK = it can.
  void Receive(const grpc::ByteBuffer& message, absl::Status status);
  absl::Status ReadItem(const grpc::ByteBuffer& bytes, Item* item);
  absl::Status DecodeItem(v1::EncodeStreamRequest* message, Item* item);
  void Dispatch(Item item);
  // `call_size`: of all items that the engine then has.
  void Hand(Item item, AdmissionPermit permit, const CallSize& call_size);
  void OnItem(std::string id, VectorFormat format, const CallSize& size,
              std::shared_ptr<AnswerRoom> room, absl::StatusOr<EncodedDocument> result,
              const StageTimings& timings);
  // Makes an item's answer and queues it. The message is made without the lock: a caller that goes
  // away must not wait for it on a thread of gRPC.
  void MakeAnswer(std::string id, VectorFormat format, std::shared_ptr<AnswerRoom> room,
                  EncodedDocument document, const StageTimings& timings);
  bool WantsAnswers();
  // Answers an item with its status.
  void RefuseLocked(std::string id, const absl::Status& status, const StageTimings& timings = {})
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Nobody reads the answers any more.
  void LoseReaderLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AdvanceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RpcCall call_;
  const std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();
  std::shared_ptr<EncodeStreamCall> self_;  // gRPC's share of this object, given back in OnDone
  // Touched by the reading side alone, which has one read under way at a time.
  v1::EncodeOptions options_;  // of the latest message that brought options
  grpc::ByteBuffer incoming_;

  absl::Mutex mu_;
  Answer outgoing_ ABSL_GUARDED_BY(mu_);           // the answer being written
  std::deque<Answer> ready_ ABSL_GUARDED_BY(mu_);  // answers not yet written
  int64_t ready_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t pending_ ABSL_GUARDED_BY(mu_) = 0;    // inputs received and not yet in ready_
  int64_t running_ ABSL_GUARDED_BY(mu_) = 0;    // those of the pending ones that the engine has
  CallSize running_size_ ABSL_GUARDED_BY(mu_);  // of those
  std::optional<Item> parked_ ABSL_GUARDED_BY(mu_);  // refused by admission, waits for a retry
  absl::Status failure_ ABSL_GUARDED_BY(mu_);  // what ends the stream, behind the write under way
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool no_more_inputs_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;  // nobody reads the answers any more
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
