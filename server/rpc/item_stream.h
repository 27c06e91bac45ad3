// ItemStream: one call whose messages come and go as a stream, each an item with an answer of its
// own. It has the flow control, the end, the drain and the cancellation of all such streams,
// whatever carries their messages: ItemStreamCall (item_stream_call.h) does it by gRPC, EncodeLines
// (server/rest/encode_lines.h) by HTTP. What an item means is the part of its ItemWork.
//
// Flow control bounds the memory that a fast writer or a slow reader can take: the next item is
// read only while fewer than --max-stream-inputs are in work or unsent and less than 4 MiB of
// answers wait. An item that admission refuses while others of this stream are running is parked
// and tried again when one of them ends, so the stream is slowed and not refused. Where the item is
// alone, the refusal is its outcome. An item whose answer may be large is parked, too, until it
// fits beside the answers in work and unsent (64 MiB), or is alone.
//
// Order. kAsReady: answers go out as they are ready, and one that failed is an answer too
// (MakeRefusal). kAsRead: they go out in the order of their items. An answer that is early waits,
// and counts as unsent, so it holds up the intake; the item that it waits for has been read before,
// so the stream moves on. The first item that failed ends the stream with its status, behind the
// answers to all items before it. Those behind it are dropped.
//
// Each answer has its room counted (AnswerRoom) from before it is computed until its reader has
// taken it. A message larger than --max-request-bytes ends the stream, and so does an answer that
// is not taken for long (OpenCalls).
//
// When the server drains, the stream reads no more. It ends with UNAVAILABLE once what it has read
// is answered, so at once where its caller merely keeps it open. An item without an answer has not
// been worked on.
//
// Each item has the server's default deadline, counted from when it is handed over. The deadline of
// the stream itself is the transport's to enforce.
//
// Lifetime: shared by the transport and the tasks' callbacks, freed with the last of them. No
// callback of the engine runs under mu_.
// Thread safety: internally synchronised.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/admission.h"
#include "server/batching/answer_room.h"
#include "server/batching/cancel_flag.h"
#include "server/rpc/call_record.h"
#include "server/rpc/drain_bell.h"
#include "server/rpc/item_work.h"

namespace longspan {

enum class AnswerOrder { kAsReady, kAsRead };

class ItemStream : public DrainListener, public std::enable_shared_from_this<ItemStream> {
 public:
  ItemStream(const ItemStream&) = delete;
  ItemStream& operator=(const ItemStream&) = delete;

  void OnDrain() final;

 protected:
  // `call` is the derived class's and lives as long.
  ItemStream(AnswerOrder order, CallRecord* call) : call_(*call), order_(order) {}
  ~ItemStream() override = default;

  // What the transport calls, with no lock of the stream held.
  //
  // Once, first.
  void Begin();
  // The message that AskForMessage asked for has come.
  void OnMessage(const grpc::ByteBuffer& message);
  // No further message comes. `gone`: because the caller has gone.
  void OnLastMessage(bool gone);
  // The answer under way was taken (`ok`), or never will be.
  void OnAnswerTaken(bool ok);
  // The caller has gone.
  void OnCallerGone();
  // The stream ends with `status` if it waits for a message. False where it is to be cancelled
  // instead, because an answer is under way.
  bool StopReading(const absl::Status& status);
  // The transport has done with the call.
  void OnTransportDone();

  // Whether the caller is let in.
  virtual absl::Status Admit() = 0;

  // What the transport does. Called under the stream's lock: these only ask, and what they ask for
  // is answered by the methods above, later.
  virtual void AskForMessage() = 0;
  // A message has come. An error ends the stream.
  virtual absl::Status NoteMessage(const grpc::ByteBuffer& message) = 0;
  // The message that came is decoded, or will not be.
  virtual void MessageIsRead() = 0;
  // `answer` lives until OnAnswerTaken.
  virtual void SendAnswer(const grpc::ByteBuffer& answer) = 0;
  // The last call of all.
  virtual void FinishStream(const absl::Status& status) = 0;

  // The work on the next item. Called by the reading side alone, which has one read under way at a
  // time.
  virtual std::shared_ptr<ItemWork> NewWork() = 0;
  // With kAsReady: the answer that tells why the item failed.
  virtual grpc::ByteBuffer MakeRefusal(const ItemWork& /*work*/, const absl::Status& /*status*/) {
    return {};
  }

 private:
  // One item between its arrival and its answer.
  struct Item {
    std::shared_ptr<ItemWork> work;
    int64_t number = 0;             // in the order of arrival
    int64_t most_answer_bytes = 0;  // ItemWork::MostAnswerBytes
  };
  // One answer between its making and its sending.
  struct Answer {
    grpc::ByteBuffer bytes;
    std::shared_ptr<AnswerRoom> room;  // null where it holds no vector
  };

  // Decodes an item and hands it over, on a thread of the transport, or of the tokenizer pool where
  // it is large (message_threads.h). `status`: why it cannot be read; OK = it can.
  void Receive(int64_t number, const grpc::ByteBuffer& message, absl::Status status);
  // Hands an item over where admission lets it in, and parks it where others of the stream will
  // make room.
  void Dispatch(Item item);
  // Tries the parked item again: taken under the lock, dispatched without it. Meanwhile nothing is
  // read, so one item at most is parked.
  std::optional<Item> TakeParkedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Retry(std::optional<Item> item);
  // Whether an answer that is made or sent can let the parked item go on.
  bool HasLargeParkedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool FitsLocked(const Item& item) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `call_size`: of all items that the engine then has.
  void Hand(Item item, AdmissionPermit permit, const CallSize& call_size);
  void OnWorked(Item item, const CallSize& size, std::shared_ptr<AnswerRoom> room,
                const WorkResult& result);
  // Makes an item's answer and queues it. The message is made without the lock: a caller that goes
  // away must not wait for it on a thread of gRPC.
  void MakeAnswer(const Item& item, std::shared_ptr<AnswerRoom> room, const WorkResult& result);
  bool WantsAnswers();
  bool WantsAnswersLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // An item has ended without an answer.
  void RefuseLocked(const Item& item, const absl::Status& status, const StageTimings& timings = {})
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Counts an item as answered, and queues its answer where somebody still wants it.
  void QueueLocked(int64_t number, absl::StatusOr<Answer> answer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // With kAsRead: what has its turn.
  void SortLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Nobody reads the answers any more.
  void LoseReaderLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropAnswersLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AdvanceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MayReadLocked(int64_t unanswered) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  CallRecord& call_;
  const AnswerOrder order_;
  const std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();

  absl::Mutex mu_;
  Answer outgoing_ ABSL_GUARDED_BY(mu_);           // the answer being written
  std::deque<Answer> ready_ ABSL_GUARDED_BY(mu_);  // answers not yet written
  // With kAsRead: what is early, by the number of its item.
  std::map<int64_t, absl::StatusOr<Answer>> early_ ABSL_GUARDED_BY(mu_);
  int64_t unsent_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of ready_ and early_
  int64_t num_read_ ABSL_GUARDED_BY(mu_) = 0;      // items received
  int64_t next_ ABSL_GUARDED_BY(mu_) = 0;          // with kAsRead: the item whose turn it is
  int64_t pending_ ABSL_GUARDED_BY(mu_) = 0;       // items received and not yet in ready_
  int64_t running_ ABSL_GUARDED_BY(mu_) = 0;       // those of the pending ones the engine has
  CallSize running_size_ ABSL_GUARDED_BY(mu_);     // of those
  // most_answer_bytes of those, and of those whose answers are being made.
  int64_t unmade_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t num_worked_ ABSL_GUARDED_BY(mu_) = 0;      // items that the engine has done with
  std::optional<Item> parked_ ABSL_GUARDED_BY(mu_);  // waits until one of those ends
  // What ends the stream: behind the write under way, or, with kAsRead, behind ready_.
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  int num_retrying_ ABSL_GUARDED_BY(mu_) = 0;  // taken from parked_, being dispatched
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool no_more_inputs_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;  // nobody reads the answers any more
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
