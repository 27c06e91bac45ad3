// TeiMetrics: the server's counts once more under the names of text-embeddings-inference
// (te_request_count, te_embed_duration, ...), so that dashboards and alerts built on those keep
// working; switched on by --tei-metric-names. Their meaning is kept: a request is one call, or one
// item of a stream; an embed is one text; durations, in seconds, are of what was answered; a call
// that was cancelled or ran out of time counts as neither success nor failure. Buckets go on to ten
// minutes, because long texts do.
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

namespace longspan {

class TeiMetrics {
 public:
  // Registers the families there. The registry outlives this object.
  explicit TeiMetrics(prometheus::Registry* registry);

  // One call that brought `texts` texts, or one item of a stream; `timings`: the longest of each
  // stage over its texts.
  void OnRequest(int64_t texts, const absl::Status& status, absl::Duration total,
                 const StageTimings& timings);
  void OnText(int64_t tokens, const StageTimings& timings);  // one text was encoded
  void OnBatch(const BatchReport& report);
  void SetQueueSize(int64_t texts);

 private:
  // te_NAME_duration and its shares.
  struct Durations {
    Durations(prometheus::Registry* registry, const std::string& name, const std::string& of);
    void Observe(absl::Duration whole, const StageTimings& timings);

    prometheus::Histogram& total;
    prometheus::Histogram& tokenization;
    prometheus::Histogram& queue;
    prometheus::Histogram& inference;
  };

  prometheus::Family<prometheus::Counter>& request_count_;
  prometheus::Family<prometheus::Counter>& request_success_;
  prometheus::Family<prometheus::Counter>& request_failure_;
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
