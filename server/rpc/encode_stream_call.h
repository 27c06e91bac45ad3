// EncodeStreamCall: one EncodeStream: texts in, encodings out as they are ready, each with its own
// status: a bad item never ends the stream.
//
// Flow control, so that neither a fast writer nor a slow reader costs unbounded memory: the next
// input is read only while fewer than --max-stream-inputs are in work or unsent and less than 4 MiB
// of answers wait. An item that admission refuses while others of this stream are running is parked
// and tried again when one of them ends: the stream is slowed, not refused. Only where it is alone
// does the refusal become its status.
//
// Each item has the server's default deadline from when it is handed over; the stream's own
// deadline is gRPC's to enforce. Lifetime: as EncodeCall. No callback of the engine runs under mu_.
// Thread safety: internally synchronised.
#pragma once

#include <grpcpp/grpcpp.h>
#include <longspan/v1/encoder.pb.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/cancel_flag.h"
#include "server/rpc/rpc_call.h"
#include "server/wire/vector_format.h"

namespace longspan {

class EncodeStreamCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                               public std::enable_shared_from_this<EncodeStreamCall> {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      grpc::CallbackServerContext* context, const ServiceParts* parts);

  EncodeStreamCall(grpc::CallbackServerContext* context, const ServiceParts* parts)
      : call_("EncodeStream", context, parts) {}

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

 private:
  // One input between its arrival and its answer.
  struct Item {
    std::string id;
    EncodeInput input;
    VectorFormat format = VectorFormat::kFloat32;
  };
  void Receive();
  absl::StatusOr<EncodeInput> Decode(v1::EncodeStreamRequest* message, VectorFormat* format);
  void Dispatch(Item item);
  void Hand(Item item, AdmissionPermit permit);
  void OnItem(std::string id, VectorFormat format, absl::StatusOr<EncodedDocument> result,
              const StageTimings& timings);
  void AnswerLocked(std::string id, VectorFormat format, absl::StatusOr<EncodedDocument> result,
                    const StageTimings& timings) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AdvanceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RpcCall call_;
  const std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();
  std::shared_ptr<EncodeStreamCall> self_;
  v1::EncodeOptions options_;  // reading side only; one read at a time
  grpc::ByteBuffer incoming_;  // likewise

  absl::Mutex mu_;
  grpc::ByteBuffer outgoing_ ABSL_GUARDED_BY(mu_);           // of the write under way
  std::deque<grpc::ByteBuffer> ready_ ABSL_GUARDED_BY(mu_);  // answers not yet written
  int64_t ready_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t pending_ ABSL_GUARDED_BY(mu_) = 0;  // inputs read and not yet in ready_
  int64_t running_ ABSL_GUARDED_BY(mu_) = 0;  // of them, handed to the engine
  std::optional<Item> parked_ ABSL_GUARDED_BY(mu_);
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool no_more_inputs_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
