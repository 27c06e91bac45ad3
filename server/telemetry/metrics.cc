#include "server/telemetry/metrics.h"

#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "core/runtime/memory.h"
#include "server/wire/status.h"

namespace longspan {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

// From a tenth of a millisecond to ten minutes: a short query and a whole book meet the same
// histogram.
const Buckets kSeconds = {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3,
                          1,      3,      10,    30,    60,   120,  300, 600};
const Buckets kTokens = {8,    16,   32,    64,    128,   256,    512,    1024,   2048,
                         4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576};
const Buckets kTexts = {1, 2, 4, 8, 16, 32, 64, 128, 256};
const Buckets kRatios = {0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9};
const Buckets kPrediction = {0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2, 4};

Family<Counter>& Counters(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildCounter()
      .Name(absl::StrCat("longspan_", name))
      .Help(help)
      .Register(*registry);
}
Family<Histogram>& Histograms(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildHistogram()
      .Name(absl::StrCat("longspan_", name))
      .Help(help)
      .Register(*registry);
}
Family<Gauge>& Gauges(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildGauge()
      .Name(absl::StrCat("longspan_", name))
      .Help(help)
      .Register(*registry);
}
Gauge& ProcessGauge(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add({});
}

// Length classes of request_seconds_by_length: the longest text of the request has at most so many
// tokens.
std::string LengthBucket(int64_t tokens) {
  for (const int64_t bound : {128, 512, 2048, 8192, 32768, 131072, 524288}) {
    if (tokens <= bound) return absl::StrCat(bound);
  }
  return "more";
}

std::string RejectReason(const absl::Status& status) {
  if (const auto reason = ReasonOf(status); reason.has_value()) return *reason;
  return std::string(CodeName(status.code()));
}

// Of "VmRSS:     1234 kB" lines of /proc/self/status, in bytes; 0 where there is none.
double ProcStatus(const std::string& content, const char* key) {
  const size_t at = content.find(absl::StrCat("\n", key, ":"));
  if (at == std::string::npos) return 0;
  const bool kilobytes = absl::StartsWith(key, "Vm");
  return std::strtod(content.c_str() + at + 2 + std::string_view(key).size(), nullptr) *
         (kilobytes ? 1024 : 1);
}

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Metrics::Metrics(const ModelInfo& model, bool tei_names)
    : device_(model.device),
      requests_(Counters(&registry_, "requests_total", "Calls answered, by method and gRPC code.")),
      request_seconds_(
          Histograms(&registry_, "request_seconds", "Time from arrival to answer of a call.")),
      seconds_by_length_(Histograms(&registry_, "request_seconds_by_length",
                                    "Time of a call by its longest text, in tokens at most.")),
      tokenize_seconds_(
          Histograms(&registry_, "tokenize_seconds", "Time to read one request's texts.")
              .Add({}, kSeconds)),
      queue_seconds_(Histograms(&registry_, "queue_seconds", "Wait of a text for its batch.")),
      compute_seconds_(Histograms(&registry_, "compute_seconds", "Time of one forward pass.")
                           .Add({{"device", model.device}}, kSeconds)),
      request_tokens_(Histograms(&registry_, "request_tokens", "Tokens read by the model per call.")
                          .Add({}, kTokens)),
      batch_texts_(
          Histograms(&registry_, "batch_texts", "Texts of one forward pass.").Add({}, kTexts)),
      batch_tokens_(
          Histograms(&registry_, "batch_tokens", "Tokens of one forward pass.").Add({}, kTokens)),
      batch_wasted_ratio_(Histograms(&registry_, "batch_wasted_ratio",
                                     "Share of a pass spent on padding; 0 when packed.")
                              .Add({}, kRatios)),
      batch_prediction_ratio_(Histograms(&registry_, "batch_prediction_ratio",
                                         "Predicted over measured time of a pass; 1 = exact.")
                                  .Add({}, kPrediction)),
      tokens_(Counters(&registry_, "tokens_total", "Tokens read by the model.").Add({})),
      rejected_(
          Counters(&registry_, "rejected_total", "Calls refused before any work, by reason.")),
      cancelled_(Counters(&registry_, "cancelled_total",
                          "Calls whose client went away, by the stage reached.")),
      expired_(Counters(&registry_, "expired_total",
                        "Calls whose deadline passed, by the stage reached.")),
      truncated_(Counters(&registry_, "truncated_total", "Texts cut to fit the model.").Add({})),
      oom_splits_(Counters(&registry_, "oom_splits_total",
                           "Batches run again in halves for lack of memory.")
                      .Add({})),
      queue_texts_(Gauges(&registry_, "queue_texts", "Texts waiting for a worker.").Add({})),
      queue_tokens_(Gauges(&registry_, "queue_tokens", "Tokens waiting for a worker.").Add({})),
      queue_predicted_seconds_(Gauges(&registry_, "queue_predicted_seconds",
                                      "Predicted time of what is accepted and not done.")
                                   .Add({})),
      queue_oldest_seconds_(
          Gauges(&registry_, "queue_oldest_seconds", "Age of the oldest waiting text.").Add({})),
      cost_correction_(Gauges(&registry_, "cost_correction_ratio",
                              "What finished batches have multiplied the predictions of warm-up "
                              "by; 1 = warm-up was right.")),
      draining_(Gauges(&registry_, "draining", "1 from SIGTERM on.").Add({})),
      arena_bytes_(
          Gauges(&registry_, "arena_bytes", "Tensor memory in use or kept for the next pass.")
              .Add({})),
      resident_bytes_(
          Gauges(&registry_, "device_memory_bytes", "Memory of the computing device, by kind.")
              .Add({{"kind", "resident"}})),
      peak_bytes_(
          Gauges(&registry_, "device_memory_bytes", "Memory of the computing device, by kind.")
              .Add({{"kind", "peak"}})),
      process_resident_(ProcessGauge(&registry_, "process_resident_memory_bytes",
                                     "Resident memory size in bytes.")),
      process_virtual_(ProcessGauge(&registry_, "process_virtual_memory_bytes",
                                    "Virtual memory size in bytes.")),
      process_open_fds_(
          ProcessGauge(&registry_, "process_open_fds", "Number of open file descriptors.")),
      process_max_fds_(
          ProcessGauge(&registry_, "process_max_fds", "Maximum number of open file descriptors.")),
      process_threads_(ProcessGauge(&registry_, "process_threads", "Number of threads.")),
      process_cpu_seconds_(prometheus::BuildCounter()
                               .Name("process_cpu_seconds_total")
                               .Help("User and system CPU time spent, in seconds.")
                               .Register(registry_)
                               .Add({})),
      tei_(tei_names ? std::make_unique<TeiMetrics>(&registry_) : nullptr) {
  const std::string dtype(DataTypeName(model.dtype));
  Gauges(&registry_, "model_info", "The model that is served; always 1.")
      .Add({{"model", model.name},
            {"architecture", model.architecture},
            {"dtype", dtype},
            {"device", model.device}})
      .Set(1);
  Gauges(&registry_, "build_info", "The server's version; always 1.")
      .Add({{"version", LONGSPAN_VERSION}})
      .Set(1);
  Gauges(&registry_, "device_memory_bytes", "Memory of the computing device, by kind.")
      .Add({{"kind", "weights"}})
      .Set(static_cast<double>(model.weight_bytes));
  ProcessGauge(&registry_, "process_start_time_seconds",
               "Start time of the process since the Unix epoch in seconds.")
      .Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
}

void Metrics::OnCall(const CallOutcome& outcome) {
  const std::string method(outcome.method);
  requests_.Add({{"method", method}, {"code", std::string(CodeName(outcome.status.code()))}})
      .Increment();
  request_seconds_.Add({{"method", method}}, kSeconds)
      .Observe(absl::ToDoubleSeconds(outcome.total));
  CountEnd(outcome);
  if (outcome.status.ok() && !outcome.itemised) CountWork(outcome);
  if (tei_ != nullptr && (method == "Encode" || method == "EncodeTokens")) {
    tei_->OnRequest(outcome.texts, outcome.status, outcome.total, outcome.timings);
  }
}

void Metrics::OnText(int64_t tokens, const StageTimings& timings) {
  if (tei_ != nullptr) tei_->OnText(tokens, timings);
}

void Metrics::OnStreamItem(const CallOutcome& outcome) {
  CountEnd(outcome);
  if (tei_ != nullptr)
    tei_->OnRequest(outcome.texts, outcome.status, outcome.total, outcome.timings);
  if (outcome.status.ok()) CountWork(outcome);
}

void Metrics::CountEnd(const CallOutcome& outcome) {
  const std::string stage(StageName(outcome.timings.stage));
  switch (outcome.status.code()) {
    case absl::StatusCode::kCancelled:
      cancelled_.Add({{"stage", stage}}).Increment();
      break;
    case absl::StatusCode::kDeadlineExceeded:
      expired_.Add({{"stage", stage}}).Increment();
      break;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnauthenticated:
      rejected_.Add({{"reason", RejectReason(outcome.status)}}).Increment();
      break;
    default:
      break;
  }
}

void Metrics::CountWork(const CallOutcome& outcome) {
  if (outcome.tokens == 0) return;
  if (outcome.tokenized) tokenize_seconds_.Observe(absl::ToDoubleSeconds(outcome.timings.tokenize));
  seconds_by_length_.Add({{"bucket", LengthBucket(outcome.longest_text)}}, kSeconds)
      .Observe(absl::ToDoubleSeconds(outcome.total));
  request_tokens_.Observe(static_cast<double>(outcome.tokens));
  tokens_.Increment(static_cast<double>(outcome.tokens));
  if (outcome.truncated_texts > 0)
    truncated_.Increment(static_cast<double>(outcome.truncated_texts));
}

void Metrics::OnBatch(const BatchReport& report) {
  compute_seconds_.Observe(absl::ToDoubleSeconds(report.compute));
  batch_texts_.Observe(report.pieces);
  batch_tokens_.Observe(static_cast<double>(report.tokens));
  batch_wasted_ratio_.Observe(report.wasted_ratio());
  const double ratio = report.prediction_error() + 1;
  if (std::isfinite(ratio)) batch_prediction_ratio_.Observe(ratio);
  if (tei_ != nullptr) tei_->OnBatch(report);
}

void Metrics::OnQueueTime(Lane lane, absl::Duration waited) {
  queue_seconds_.Add({{"lane", std::string(LaneName(lane))}}, kSeconds)
      .Observe(absl::ToDoubleSeconds(waited));
}

void Metrics::OnOutOfMemorySplit(int32_t /*texts*/) { oom_splits_.Increment(); }

void Metrics::SetComputeTeams(const ComputeTeams& teams, std::span<const TeamSpeed> measured) {
  Gauges(&registry_, "compute_replicas", "Forward passes that run at once.")
      .Add({})
      .Set(teams.replicas);
  Gauges(&registry_, "compute_threads", "Threads of one forward pass.").Add({}).Set(teams.threads);
  for (const TeamSpeed& speed : measured) {
    Gauges(&registry_, "start_tokens_per_second",
           "Tokens a second at start, by division of the cores; what the division was chosen from.")
        .Add({{"replicas", absl::StrCat(speed.teams.replicas)},
              {"threads", absl::StrCat(speed.teams.threads)}})
        .Set(speed.tokens_per_second);
  }
}

void Metrics::SetGaugeSource(std::function<ServerGauges()> source) {
  absl::MutexLock lock(&mu_);
  source_ = std::move(source);
}

void Metrics::ReadGauges() {
  if (!source_) return;
  const ServerGauges gauges = source_();
  queue_texts_.Set(static_cast<double>(gauges.queue_texts));
  queue_tokens_.Set(static_cast<double>(gauges.queue_tokens));
  queue_predicted_seconds_.Set(gauges.queue_predicted_seconds);
  queue_oldest_seconds_.Set(gauges.queue_oldest_seconds);
  draining_.Set(gauges.draining ? 1 : 0);
  if (tei_ != nullptr) tei_->SetQueueSize(gauges.queue_texts);
  for (int lane = 0; lane < kNumLanes; ++lane) {
    cost_correction_.Add({{"lane", std::string(LaneName(static_cast<Lane>(lane)))}})
        .Set(gauges.cost_correction[lane]);
  }
}

void Metrics::ReadProcess() {
  const std::string status = ReadFile("/proc/self/status");
  const double resident = ProcStatus(status, "VmRSS");
  const MemoryStats memory = GetMemoryStats();
  arena_bytes_.Set(static_cast<double>(memory.live_bytes + memory.cached_bytes));
  resident_bytes_.Set(resident);
  peak_bytes_.Set(ProcStatus(status, "VmHWM"));
  process_resident_.Set(resident);
  process_virtual_.Set(ProcStatus(status, "VmSize"));
  process_threads_.Set(ProcStatus(status, "Threads"));
  std::error_code ignored;
  const std::filesystem::directory_iterator fds("/proc/self/fd", ignored);
  process_open_fds_.Set(static_cast<double>(std::distance(begin(fds), end(fds))));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    process_max_fds_.Set(static_cast<double>(limit.rlim_cur));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  const double cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  process_cpu_seconds_.Increment(std::max(0.0, cpu - process_cpu_seconds_.Value()));
}

std::string Metrics::Text() {
  absl::MutexLock lock(&mu_);
  ReadGauges();
  ReadProcess();
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, registry_.Collect());
  return out.str();
}

}  // namespace longspan
