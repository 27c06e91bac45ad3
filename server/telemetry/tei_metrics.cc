#include "server/telemetry/tei_metrics.h"

#include <iterator>

namespace longspan {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::Registry;
using Buckets = Histogram::BucketBoundaries;

Buckets Geometric(double first, double factor, int count) {
  Buckets bounds = {first};
  while (std::ssize(bounds) < count) bounds.push_back(bounds.back() * factor);
  return bounds;
}

Family<Counter>& Counters(Registry* registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}
Histogram& OneHistogram(Registry* registry, const std::string& name, const std::string& help,
                        const Buckets& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry).Add({}, buckets);
}
Histogram& Duration(Registry* registry, const std::string& name, const std::string& help) {
  return OneHistogram(registry, name, help, Geometric(1.5e-5, 1.5, 44));
}

const char* Method(int64_t texts) { return texts > 1 ? "batch" : "single"; }

bool IsOverload(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
}

// The label err; null where the caller went away or its deadline passed: such requests are dropped
// there, not failed.
const char* FailureOf(const absl::Status& status) {
  if (IsOverload(status)) return "overloaded";
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return nullptr;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnauthenticated:
      return "validation";
    default:
      return "inference";
  }
}

}  // namespace

TeiMetrics::Durations::Durations(Registry* registry, const std::string& name, const std::string& of)
    : total(Duration(registry, name + "_duration",
                     "Time from arrival to answer of " + of + ", in seconds.")),
      tokenization(Duration(registry, name + "_tokenization_duration",
                            "Time to tokenise " + of + ", in seconds.")),
      queue(Duration(registry, name + "_queue_duration",
                     "Wait for a batch of " + of + ", in seconds.")),
      inference(Duration(registry, name + "_inference_duration",
                         "Time of the model for " + of + ", in seconds.")) {}

void TeiMetrics::Durations::Observe(absl::Duration whole, const StageTimings& timings) {
  total.Observe(absl::ToDoubleSeconds(whole));
  tokenization.Observe(absl::ToDoubleSeconds(timings.tokenize));
  queue.Observe(absl::ToDoubleSeconds(timings.queue));
  inference.Observe(absl::ToDoubleSeconds(timings.compute));
}

TeiMetrics::TeiMetrics(Registry* registry)
    : request_count_(Counters(registry, "te_request_count",
                              "Requests, by method: of one text or of several.")),
      request_success_(Counters(registry, "te_request_success", "Requests answered with vectors.")),
      request_failure_(Counters(registry, "te_request_failure",
                                "Requests answered with an error, by its kind.")),
      embed_count_(
          Counters(registry, "te_embed_count", "Texts handed in and not refused for overload.")
              .Add({})),
      embed_success_(Counters(registry, "te_embed_success", "Texts encoded.").Add({})),
      request_(registry, "te_request", "a request"),
      embed_(registry, "te_embed", "a text"),
      input_length_(OneHistogram(registry, "te_request_input_length", "Tokens of a text.",
                                 Geometric(1, 2, 21))),
      batch_size_(
          OneHistogram(registry, "te_batch_next_size", "Texts of a batch.", Geometric(1, 2, 13))),
      batch_tokens_(OneHistogram(registry, "te_batch_next_tokens", "Tokens of a batch.",
                                 Geometric(1, 2, 21))),
      queue_size_(prometheus::BuildGauge()
                      .Name("te_queue_size")
                      .Help("Texts that wait.")
                      .Register(*registry)
                      .Add({})) {}

void TeiMetrics::OnRequest(int64_t texts, const absl::Status& status, absl::Duration total,
                           const StageTimings& timings) {
  request_count_.Add({{"method", Method(texts)}}).Increment();
  if (const char* const failure = FailureOf(status); failure != nullptr)
    request_failure_.Add({{"err", failure}}).Increment();
  if (!IsOverload(status)) embed_count_.Increment(static_cast<double>(texts));
  if (!status.ok()) return;
  request_success_.Add({{"method", Method(texts)}}).Increment();
  request_.Observe(total, timings);
}

void TeiMetrics::OnText(int64_t tokens, const StageTimings& timings) {
  embed_success_.Increment();
  embed_.Observe(timings.total, timings);
  input_length_.Observe(static_cast<double>(tokens));
}

void TeiMetrics::OnBatch(const BatchReport& report) {
  batch_size_.Observe(report.pieces);
  batch_tokens_.Observe(static_cast<double>(report.tokens));
}

void TeiMetrics::SetQueueSize(int64_t texts) { queue_size_.Set(static_cast<double>(texts)); }

}  // namespace longspan
