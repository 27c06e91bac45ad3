// Metrics: what the server counts, in Prometheus' text form, prefix longspan_. The service feeds
// counters and histograms (OnCall, the one place that every outcome passes), and so do the workers
// (BatchObserver). Gauges are read when somebody scrapes. No label ever holds a tenant, a text or
// an id.
//
// The children of small label sets (method, lane, stage, length class, reason) are looked up once
// and exported from the start, with 0. requests_total has a child only for each pair of method and
// code that has occurred.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/compute_teams.h"
#include "core/device_memory.h"
#include "core/error_details.h"
#include "core/model_info.h"
#include "core/recording_counts.h"
#include "proto/longspan/v1/length_classes.h"
#include "server/batching/batch_observer.h"
#include "server/batching/encode_task.h"
#include "server/telemetry/labelled_children.h"
#include "server/telemetry/process_metrics.h"
#include "server/telemetry/rpc_method.h"
#include "server/telemetry/tei_metrics.h"
#include "server/wire/limits.h"
#include "server/wire/status.h"

namespace longspan {

// Why a call was ended that its caller kept waiting (open_calls.h).
enum class DropReason { kSlowRequest, kReceivingMemory, kUnreadAnswer };
inline constexpr size_t kNumDropReasons = 3;
// "slow_request", "receiving_memory", "unread_answer"
std::string_view DropReasonName(DropReason reason);

// How one call ended.
struct CallOutcome {
  RpcMethod method = RpcMethod::kEncode;
  absl::Status status;
  absl::Duration total;
  int64_t texts = 0;            // handed in
  int64_t tokens = 0;           // read by the model, all texts
  int64_t longest_text = 0;     // tokens
  int64_t truncated_texts = 0;  // cut to fit the model
  // The longest of each stage over the texts; `stage` is the last one that any of them reached.
  StageTimings timings;
  bool tokenized = false;  // a text was tokenised
  bool itemised = false;   // a stream, whose texts are counted one by one (OnStreamItem)
};

// Why a connection to one of the server's ports was turned away or closed: by its listener
// (RefusalName of server/net/listener.h), or for what it sent (AbuseName of
// server/rpc/transport_guard.h).
inline constexpr std::array<std::string_view, 12> kRefusedConnectionReasons = {
    "max_connections", "max_connections_per_client",
    "descriptors",     "memory",
    "gave_way",        "too_old",
    "turned_away",     "too_many",
    "header_block",    "resets",
    "idle_frames",     "streams"};

// The files that are looked at while the server runs: the label `files`.
inline constexpr size_t kNumReloadedFiles = 2;
inline constexpr std::array<std::string_view, kNumReloadedFiles> kReloadedFiles = {"tls",
                                                                                   "auth_keys"};

// Collections::Totals.
struct CollectionGauges {
  int64_t collections = 0;
  int64_t unusable = 0;  // damaged, or of another model
  int64_t documents = 0;
  int64_t bytes = 0;
  int64_t on_disk_bytes = 0;
};

// What is read at each scrape. Those of the queue are BatchScheduler::Depth, so a text that is cut
// into pieces counts once for each piece.
struct ServerGauges {
  int64_t queue_texts = 0;
  int64_t queue_tokens = 0;
  double queue_predicted_seconds = 0;
  double queue_oldest_seconds = 0;
  int computing_threads = 0;
  bool draining = false;
  bool live = true;
  std::array<int64_t, kNumRpcMethods> open_calls = {};
  int64_t receiving_calls = 0;
  int64_t answer_bytes = 0;        // Admission::Backlog
  int64_t token_vector_bytes = 0;  // Admission::Backlog
  CollectionGauges collections;
  int64_t grpc_connections = 0;
  int64_t http_connections = 0;
  int64_t log_lines_lost = 0;
  int64_t tls_expires = 0;  // Unix seconds, 0 = no TLS
  // Since the start, of kReloadedFiles: changes put in force, and looks that found files that
  // cannot be used.
  std::array<int64_t, kNumReloadedFiles> reloads = {};
  std::array<int64_t, kNumReloadedFiles> reload_failures = {};
  // Of the card that the passes run on; nullopt = they run on the CPU.
  std::optional<DeviceMemory> card_memory;
  RecordingCounts recordings;  // of that card; zeros on the CPU
  // OnlineCostModel::factor of each lane.
  std::array<double, kNumLanes> cost_correction = {1, 1, 1};
};

// Memory that there is, in bytes; 0 = no limit is known.
struct MemoryLimits {
  int64_t container = 0;  // for the process
  int64_t tensors = 0;    // for the tensors in it
  int64_t device = 0;     // of the card that the passes run on
};

class Metrics final : public BatchObserver {
 public:
  // Values of rejected_total{reason}: five codes, the reasons of core/error_details.h, and
  // DEADLINE_TOO_SHORT.
  static constexpr size_t kNumReasons = 5 + kReasons.size() + 1;

  // `tei_names`: serve the names of text-embeddings-inference, too.
  explicit Metrics(const ModelInfo& model, bool tei_names = false);

  void OnCall(const CallOutcome& outcome);
  // A call by HTTP begins, or has ended. Those by gRPC are counted by OpenCalls.
  void OnHttpCallBegin(RpcMethod method) { ++http_calls_[static_cast<size_t>(method)]; }
  void OnHttpCallEnd(RpcMethod method) { --http_calls_[static_cast<size_t>(method)]; }
  // One text of any call was encoded.
  void OnText(int64_t tokens, const StageTimings& timings);
  // One item of a stream has ended. It counts like a call, but in stream_items_total in place of
  // requests_total and request_seconds.
  void OnStreamItem(const CallOutcome& outcome);
  // A message was larger than max_request_bytes.
  void OnMessageTooLarge() { messages_too_large_.Increment(); }
  void OnDropped(DropReason reason) { dropped_[static_cast<size_t>(reason)].Increment(); }

  void OnBatch(const BatchReport& report) override;
  void OnQueueTime(Lane lane, absl::Duration waited) override;
  void OnOutOfMemorySplit(int32_t texts) override;

  // A connection to the gRPC or the HTTP port was turned away or closed, for a reason of
  // kRefusedConnectionReasons.
  void OnConnectionRefused(std::string_view reason);

  // The routes of the HTTP port; all others count as "other". Before the first OnHttpRequest.
  void SetHttpRoutes(std::span<const std::string> routes);
  // A request to the HTTP port was answered, or its caller went (499).
  void OnHttpRequest(std::string_view route, int code, absl::Duration time);

  // The replicas and threads in force, and the speeds that were measured to choose them (may be
  // empty). Call once.
  void SetComputeTeams(const ComputeTeams& teams, std::span<const TeamSpeed> measured);
  // The limits in force: longspan_limit{limit}. Call once.
  void SetLimits(std::span<const NamedLimit> limits);
  void SetMemoryLimits(const MemoryLimits& limits);
  void SetGaugeSource(std::function<ServerGauges()> source);
  // The whole scrape.
  std::string Text();

 private:
  using Counter = prometheus::Counter;
  using Gauge = prometheus::Gauge;
  using Histogram = prometheus::Histogram;
  static constexpr size_t kNumLengthClasses = kLengthClassBounds.size() + 1;
  Counter& Requests(RpcMethod method, absl::StatusCode code);
  void CountEnd(const CallOutcome& outcome);
  void CountRejected(const absl::Status& status);
  void CountWork(const CallOutcome& outcome);
  void ReadGauges() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  prometheus::Registry registry_;
  // Calls.
  prometheus::Family<Counter>& requests_;
  // Children of requests_ by method and code; null until the first such call.
  std::array<std::array<std::atomic<Counter*>, kNumCodes>, kNumRpcMethods> requests_by_code_ = {};
  prometheus::Family<Counter>& stream_items_;
  // Children of stream_items_ by code; null until the first such item.
  std::array<std::atomic<Counter*>, kNumCodes> items_by_code_ = {};
  const LabelledChildren<Counter, kNumDropReasons> dropped_;
  Counter& messages_too_large_;
  const LabelledChildren<Histogram, kNumRpcMethods> request_seconds_;
  const LabelledChildren<Histogram, kNumLengthClasses> seconds_by_length_;
  Histogram& request_tokens_;
  const LabelledChildren<Counter, kNumReasons> rejected_;
  const LabelledChildren<Counter, kNumStages> cancelled_;
  const LabelledChildren<Counter, kNumStages> expired_;
  // Texts.
  Histogram& tokenize_seconds_;
  const LabelledChildren<Histogram, kNumLanes> queue_seconds_;
  Counter& tokens_;
  Counter& truncated_;
  // Batches.
  Histogram& compute_seconds_;
  Histogram& batch_texts_;
  Histogram& batch_tokens_;
  Histogram& batch_wasted_ratio_;
  Histogram& batch_prediction_ratio_;
  Counter& oom_splits_;
  const LabelledChildren<Counter, 3> recordings_;
  // Read at each scrape.
  Gauge& queue_texts_;
  Gauge& queue_tokens_;
  Gauge& queue_predicted_seconds_;
  Gauge& queue_oldest_seconds_;
  Gauge& computing_threads_;
  const LabelledChildren<Gauge, kNumLanes> cost_correction_;
  Gauge& draining_;
  Gauge& live_;
  std::array<std::atomic<int64_t>, kNumRpcMethods> http_calls_ = {};
  const LabelledChildren<Gauge, kNumRpcMethods> open_calls_;
  Gauge& receiving_calls_;
  Gauge& answer_bytes_;
  Gauge& token_vector_bytes_;
  const LabelledChildren<Gauge, 2> collections_;  // usable, unusable
  Gauge& kept_documents_;
  const LabelledChildren<Gauge, 2> kept_bytes_;   // documents, files
  const LabelledChildren<Gauge, 2> connections_;  // gRPC, HTTP
  const LabelledChildren<Counter, kRefusedConnectionReasons.size()> connections_refused_;
  prometheus::Family<Counter>& http_requests_;
  prometheus::Family<Histogram>& http_request_seconds_;
  Counter& log_dropped_;
  Gauge& tls_expires_;
  const LabelledChildren<Counter, kNumReloadedFiles> reloads_;
  const LabelledChildren<Counter, kNumReloadedFiles> reload_failures_;
  ProcessMetrics process_;

  const std::unique_ptr<TeiMetrics> tei_;  // null where these names are not served

  // Children of http_request_seconds_ by route, constant once they are set; and of http_requests_
  // by route and code.
  std::map<std::string, Histogram*, std::less<>> http_seconds_by_route_;
  absl::Mutex http_mu_;
  std::map<std::pair<std::string_view, int>, Counter*> http_by_code_ ABSL_GUARDED_BY(http_mu_);

  absl::Mutex mu_;
  std::function<ServerGauges()> source_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
