// Metrics: what the server counts, in Prometheus' text form, prefix longspan_. Counters and
// histograms are fed by the service (OnCall, one place that every outcome passes) and by the
// workers (BatchObserver); gauges are read when somebody scrapes. No label ever holds a tenant, a
// text or an id.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/compute_teams.h"
#include "core/model_info.h"
#include "server/batching/batch_observer.h"
#include "server/batching/encode_task.h"
#include "server/telemetry/tei_metrics.h"

namespace longspan {

// How one call ended.
struct CallOutcome {
  std::string_view method;  // "Encode"
  absl::Status status;
  absl::Duration total;
  int64_t texts = 0;         // handed in
  int64_t tokens = 0;        // read by the model, all texts
  int64_t longest_text = 0;  // tokens
  int64_t truncated_texts = 0;
  StageTimings timings;    // longest of each stage over the texts; stage = the last one reached
  bool tokenized = false;  // a text was tokenised
  bool itemised = false;   // a stream, whose texts are counted one by one: OnStreamItem
};

// Gauges, read at each scrape.
struct ServerGauges {
  int64_t queue_texts = 0;
  int64_t queue_tokens = 0;
  double queue_predicted_seconds = 0;
  double queue_oldest_seconds = 0;
  bool draining = false;
  std::array<double, kNumLanes> cost_correction = {1, 1,
                                                   1};  // OnlineCostModel::factor of each lane
};

class Metrics final : public BatchObserver {
 public:
  // `tei_names`: serve the names of text-embeddings-inference too.
  explicit Metrics(const ModelInfo& model, bool tei_names = false);

  void OnCall(const CallOutcome& outcome);
  void OnText(int64_t tokens, const StageTimings& timings);  // one text of any call was encoded
  void OnStreamItem(
      const CallOutcome&
          outcome);  // one text of EncodeStream: like a call, without the call's count

  void OnBatch(const BatchReport& report) override;
  void OnQueueTime(Lane lane, absl::Duration waited) override;
  void OnOutOfMemorySplit(int32_t texts) override;

  // Replicas x threads in force, and what was measured to choose them (may be empty). Call once.
  void SetComputeTeams(const ComputeTeams& teams, std::span<const TeamSpeed> measured);
  void SetGaugeSource(std::function<ServerGauges()> source);
  std::string Text();

 private:
  void CountEnd(const CallOutcome& outcome);
  void CountWork(const CallOutcome& outcome);
  void ReadGauges() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReadProcess() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  prometheus::Registry registry_;
  const std::string device_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& request_seconds_;
  prometheus::Family<prometheus::Histogram>& seconds_by_length_;
  prometheus::Histogram& tokenize_seconds_;
  prometheus::Family<prometheus::Histogram>& queue_seconds_;
  prometheus::Histogram& compute_seconds_;
  prometheus::Histogram& request_tokens_;
  prometheus::Histogram& batch_texts_;
  prometheus::Histogram& batch_tokens_;
  prometheus::Histogram& batch_wasted_ratio_;
  prometheus::Histogram& batch_prediction_ratio_;
  prometheus::Counter& tokens_;
  prometheus::Family<prometheus::Counter>& rejected_;
  prometheus::Family<prometheus::Counter>& cancelled_;
  prometheus::Family<prometheus::Counter>& expired_;
  prometheus::Counter& truncated_;
  prometheus::Counter& oom_splits_;
  prometheus::Gauge& queue_texts_;
  prometheus::Gauge& queue_tokens_;
  prometheus::Gauge& queue_predicted_seconds_;
  prometheus::Gauge& queue_oldest_seconds_;
  prometheus::Family<prometheus::Gauge>& cost_correction_;
  prometheus::Gauge& draining_;
  prometheus::Gauge& arena_bytes_;
  prometheus::Gauge& resident_bytes_;
  prometheus::Gauge& peak_bytes_;
  prometheus::Gauge& process_resident_;
  prometheus::Gauge& process_virtual_;
  prometheus::Gauge& process_open_fds_;
  prometheus::Gauge& process_max_fds_;
  prometheus::Gauge& process_threads_;
  prometheus::Counter& process_cpu_seconds_;

  const std::unique_ptr<TeiMetrics> tei_;  // null: not served

  absl::Mutex mu_;
  std::function<ServerGauges()> source_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
