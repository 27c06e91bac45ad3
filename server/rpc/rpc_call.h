// RpcCall: what every call has in common, whatever its shape: who asks, until when, whether it may,
// and the one place that every outcome passes (metrics, request log, trailers). A reactor owns one
// and calls Admit first and Finish once.
//
// ServiceParts: the engine's parts as the handlers use them; owned by Server, which outlives every
// call. Thread safety: Admit on the handler's thread; NoteText and Finish need the reactor's own
// lock.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/model_info.h"
#include "core/tokenizer/tokenizer.h"
#include "server/batching/admission.h"
#include "server/batching/batch_scheduler.h"
#include "server/batching/clock.h"
#include "server/batching/encode_task.h"
#include "server/engine/encode_pipeline.h"
#include "server/engine/tokenizer_pool.h"
#include "server/lifecycle.h"
#include "server/rpc/key_ring.h"
#include "server/server_options.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"
#include "server/wire/input_decoder.h"

namespace longspan {

struct ServiceParts {
  const ServerOptions* options = nullptr;
  const ModelInfo* model = nullptr;
  const Tokenizer* tokenizer = nullptr;  // null: token_ids only
  const Lifecycle* lifecycle = nullptr;
  const Clock* clock = nullptr;
  KeyRing* keys = nullptr;
  Admission* admission = nullptr;
  TokenizerPool* tokenizers = nullptr;
  EncodePipeline* pipeline = nullptr;
  BatchScheduler* scheduler = nullptr;
  Metrics* metrics = nullptr;
  Log* log = nullptr;

  CodecContext codec() const {
    return {model, tokenizer != nullptr, options->max_texts_per_request, options->max_text_bytes};
  }
  int64_t max_tokens() const {
    return options->max_tokens > 0 ? options->max_tokens : model->max_tokens;
  }
};

class RpcCall {
 public:
  RpcCall(std::string_view method, grpc::CallbackServerContext* context, const ServiceParts* parts);

  // UNAVAILABLE (starting, draining), UNAUTHENTICATED.
  absl::Status Admit() const;
  // Parses a request; INVALID_ARGUMENT where it is malformed or a string is not UTF-8.
  absl::Status Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message* message);

  const ServiceParts& parts() const { return *parts_; }
  absl::Time arrival() const { return arrival_; }  // engine's clock
  absl::Time deadline() const {
    return deadline_;
  }  // engine's clock; the server's default where the call has none
  bool has_own_deadline() const { return has_own_deadline_; }
  const std::string& client() const { return client_; }

  // One text that was answered, or ended: sizes and timings for the log and the metrics.
  void NoteInput(const EncodeInput& input);
  void NoteText(const absl::StatusOr<EncodedDocument>& result, const StageTimings& timings);
  // Counts one item of a stream as an outcome of its own.
  void CountItem(const absl::StatusOr<EncodedDocument>& result, const StageTimings& timings);

  // Records the outcome, adds the trailers, and gives the status to hand to the reactor's Finish.
  grpc::Status Finish(const absl::Status& status);

 private:
  std::string Metadata(const char* name) const;
  void ReadDeadline();
  void WriteLog(const absl::Status& status, absl::Duration total) const;

  const std::string_view method_;
  grpc::CallbackServerContext* const context_;
  const ServiceParts* const parts_;
  const absl::Time arrival_;
  absl::Time deadline_;
  bool has_own_deadline_ = false;
  std::string client_;
  std::string request_id_;
  std::string traceparent_;
  CallOutcome outcome_;
  int64_t bytes_ = 0;
  int64_t request_bytes_ = 0;
};

// Serialised message for a raw reactor.
grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

}  // namespace longspan
