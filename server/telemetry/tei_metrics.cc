#include "server/telemetry/tei_metrics.h"

#include <array>
#include <iterator>
#include <optional>

namespace longspan {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::Registry;
using Buckets = Histogram::BucketBoundaries;

// `count` bounds, each `factor` times the one before.
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
// 44 bounds from 15 microseconds to 560 s.
Histogram& Duration(Registry* registry, const std::string& name, const std::string& help) {
  return OneHistogram(registry, name, help, Geometric(1.5e-5, 1.5, 44));
}

// The label `method`, and its index.
const std::array<std::string, 2> kMethods = {"single", "batch"};
size_t MethodOf(int64_t texts) { return texts > 1 ? 1 : 0; }

// The label `err`, in the order of Failure.
const std::array<std::string, 3> kFailures = {"overloaded", "validation", "inference"};
enum class Failure { kOverloaded, kValidation, kInference };

bool IsOverload(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
}

// nullopt where the request was answered, and where its caller went away or its deadline passed:
// text-embeddings-inference drops those without counting a failure.
std::optional<Failure> FailureOf(const absl::Status& status) {
  if (IsOverload(status)) return Failure::kOverloaded;
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return std::nullopt;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnauthenticated:
      return Failure::kValidation;
    default:
      return Failure::kInference;
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
    : request_count_(
          Counters(registry, "te_request_count", "Requests, by method: of one text or of several."),
          "method", kMethods),
      request_success_(Counters(registry, "te_request_success", "Requests answered with vectors."),
                       "method", kMethods),
      request_failure_(
          Counters(registry, "te_request_failure", "Requests answered with an error, by its kind."),
          "err", kFailures),
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
  request_count_[MethodOf(texts)].Increment();
  if (const auto failure = FailureOf(status); failure.has_value())
    request_failure_[static_cast<size_t>(*failure)].Increment();
  if (!IsOverload(status)) embed_count_.Increment(static_cast<double>(texts));
  if (!status.ok()) return;
  request_success_[MethodOf(texts)].Increment();
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
