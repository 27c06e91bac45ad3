// TeiMetrics: the server's counts once more, under the names of text-embeddings-inference
// (te_request_count, te_embed_duration, ...), so that dashboards and alerts built on those keep
// working. Switched on by --tei-metric-names.
//
// The names keep their meaning: a request is one call, or one item of a stream; an embed is one
// text; durations, in seconds, are of what was answered. A call that was cancelled or ran out of
// time counts as neither success nor failure. The buckets of durations go on to 560 s, because long
// texts take that long.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/batching/batch_observer.h"
#include "server/batching/encode_task.h"
#include "server/telemetry/labelled_children.h"

namespace longspan {

class TeiMetrics {
 public:
  // Registers the families there. The registry outlives this object.
  explicit TeiMetrics(prometheus::Registry* registry);

  // One call that brought `texts` texts, or one item of a stream. `timings` holds the longest of
  // each stage over its texts.
  void OnRequest(int64_t texts, const absl::Status& status, absl::Duration total,
                 const StageTimings& timings);
  // One text was encoded.
  void OnText(int64_t tokens, const StageTimings& timings);
  void OnBatch(const BatchReport& report);
  void SetQueueSize(int64_t texts);

 private:
  // te_NAME_duration, and te_NAME_tokenization_duration and so on for its shares.
  struct Durations {
    Durations(prometheus::Registry* registry, const std::string& name, const std::string& of);
    void Observe(absl::Duration whole, const StageTimings& timings);

    prometheus::Histogram& total;
    prometheus::Histogram& tokenization;
    prometheus::Histogram& queue;
    prometheus::Histogram& inference;
  };

  const LabelledChildren<prometheus::Counter, 2> request_count_;    // by method
  const LabelledChildren<prometheus::Counter, 2> request_success_;  // by method
  const LabelledChildren<prometheus::Counter, 3> request_failure_;  // by kind of failure
  prometheus::Counter& embed_count_;
  prometheus::Counter& embed_success_;
  Durations request_;
  Durations embed_;
  prometheus::Histogram& input_length_;
  prometheus::Histogram& batch_size_;
  prometheus::Histogram& batch_tokens_;
  prometheus::Gauge& queue_size_;
};

}  // namespace longspan
