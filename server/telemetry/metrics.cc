#include "server/telemetry/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

// From a tenth of a millisecond to ten minutes: a short query and a whole book are counted in the
// same histogram.
const Buckets kSeconds = {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3,
                          1,      3,      10,    30,    60,   120,  300, 600};
const Buckets kTokens = {8,    16,   32,    64,    128,   256,    512,    1024,   2048,
                         4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576};
const Buckets kTexts = {1, 2, 4, 8, 16, 32, 64, 128, 256};
const Buckets kRatios = {0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9};
const Buckets kPrediction = {0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2, 4};

// Labels of rejected_total: codes without a reason of their own, the reasons that a status can
// carry, and one that the metrics tell apart.
constexpr std::array<std::string_view, 5> kRefusingCodes = {
    "RESOURCE_EXHAUSTED", "UNAVAILABLE", "INVALID_ARGUMENT", "FAILED_PRECONDITION",
    "UNAUTHENTICATED"};
// The deadline is too short for the computation alone. More capacity would not help, which
// DEADLINE_UNREACHABLE leaves open.
constexpr std::string_view kDeadlineTooShort = "DEADLINE_TOO_SHORT";
// The label of requests to the HTTP port that no route takes.
constexpr char kOtherRoute[] = "other";

std::array<std::string, Metrics::kNumReasons> ReasonNames() {
  std::array<std::string, Metrics::kNumReasons> names;
  size_t next = 0;
  for (const std::string_view code : kRefusingCodes) names[next++] = code;
  for (const std::string_view reason : kReasons) names[next++] = reason;
  names[next++] = kDeadlineTooShort;
  return names;
}

// The names of the values 0 to N - 1 of an enum.
template <size_t N, typename Enum>
std::array<std::string, N> Names(std::string_view (*name)(Enum)) {
  std::array<std::string, N> names;
  for (size_t i = 0; i < N; ++i) names[i] = std::string(name(static_cast<Enum>(i)));
  return names;
}

// Each class is named after its longest text in tokens, and the last one "more".
std::array<std::string, kLengthClassBounds.size() + 1> LengthClassNames() {
  std::array<std::string, kLengthClassBounds.size() + 1> names;
  for (size_t i = 0; i < kLengthClassBounds.size(); ++i)
    names[i] = absl::StrCat(kLengthClassBounds[i]);
  names.back() = "more";
  return names;
}

std::array<std::string, kRefusedConnectionReasons.size()> RefusedConnectionReasons() {
  std::array<std::string, kRefusedConnectionReasons.size()> names;
  std::copy(kRefusedConnectionReasons.begin(), kRefusedConnectionReasons.end(), names.begin());
  return names;
}

std::array<std::string, kNumReloadedFiles> ReloadedFileNames() {
  std::array<std::string, kNumReloadedFiles> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = std::string(kReloadedFiles[i]);
  return names;
}

// For a count that somebody else keeps and that never falls.
void RaiseTo(Counter* counter, int64_t count) {
  const double more = static_cast<double>(count) - counter->Value();
  if (more > 0) counter->Increment(more);
}

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

}  // namespace

std::string_view DropReasonName(DropReason reason) {
  switch (reason) {
    case DropReason::kSlowRequest:
      return "slow_request";
    case DropReason::kReceivingMemory:
      return "receiving_memory";
    case DropReason::kUnreadAnswer:
      return "unread_answer";
  }
  return "unknown";
}

Metrics::Metrics(const ModelInfo& model, bool tei_names)
    : requests_(Counters(&registry_, "requests_total", "Calls answered, by method and gRPC code.")),
      stream_items_(
          Counters(&registry_, "stream_items_total", "Items of streams answered, by code.")),
      dropped_(Counters(&registry_, "dropped_calls_total",
                        "Calls ended because their caller did not send or did not read."),
               "reason", Names<kNumDropReasons>(DropReasonName)),
      messages_too_large_(Counters(&registry_, "messages_too_large_total",
                                   "Messages larger than --max-request-bytes.")
                              .Add({})),
      request_seconds_(
          Histograms(&registry_, "request_seconds", "Time from arrival to answer of a call."),
          "method", Names<kNumRpcMethods>(RpcMethodName), kSeconds),
      seconds_by_length_(Histograms(&registry_, "request_seconds_by_length",
                                    "Time of a call by its longest text, in tokens at most."),
                         "bucket", LengthClassNames(), kSeconds),
      request_tokens_(Histograms(&registry_, "request_tokens", "Tokens read by the model per call.")
                          .Add({}, kTokens)),
      rejected_(Counters(&registry_, "rejected_total", "Calls refused before any work, by reason."),
                "reason", ReasonNames()),
      cancelled_(Counters(&registry_, "cancelled_total",
                          "Calls whose client went away, by the stage reached."),
                 "stage", Names<kNumStages>(StageName)),
      expired_(Counters(&registry_, "expired_total",
                        "Calls whose deadline passed, by the stage reached."),
               "stage", Names<kNumStages>(StageName)),
      tokenize_seconds_(
          Histograms(&registry_, "tokenize_seconds", "Time to read one request's texts.")
              .Add({}, kSeconds)),
      queue_seconds_(Histograms(&registry_, "queue_seconds", "Wait of a text for its batch."),
                     "lane", Names<kNumLanes>(LaneName), kSeconds),
      tokens_(Counters(&registry_, "tokens_total", "Tokens read by the model.").Add({})),
      truncated_(Counters(&registry_, "truncated_total", "Texts cut to fit the model.").Add({})),
      compute_seconds_(Histograms(&registry_, "compute_seconds", "Time of one forward pass.")
                           .Add({{"device", model.device}}, kSeconds)),
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
      oom_splits_(Counters(&registry_, "oom_splits_total",
                           "Batches run again in halves for lack of memory.")
                      .Add({})),
      recordings_(Counters(&registry_, "recordings_total",
                           "Shapes of passes that the card has recorded or refused to record, and "
                           "passes that it repeated."),
                  "kind", std::array<std::string, 3>{"recorded", "refused", "repeated"}),
      queue_texts_(Gauges(&registry_, "queue_texts", "Texts waiting for a worker.").Add({})),
      queue_tokens_(Gauges(&registry_, "queue_tokens", "Tokens waiting for a worker.").Add({})),
      queue_predicted_seconds_(Gauges(&registry_, "queue_predicted_seconds",
                                      "Predicted time of what is accepted and not done.")
                                   .Add({})),
      queue_oldest_seconds_(
          Gauges(&registry_, "queue_oldest_seconds", "Age of the oldest waiting text.").Add({})),
      computing_threads_(
          Gauges(&registry_, "computing_threads", "Threads of the forward passes that run now.")
              .Add({})),
      cost_correction_(Gauges(&registry_, "cost_correction_ratio",
                              "What finished batches have multiplied the predictions of warm-up "
                              "by; 1 = warm-up was right."),
                       "lane", Names<kNumLanes>(LaneName), 1.0),
      draining_(Gauges(&registry_, "draining", "1 from SIGTERM on.").Add({})),
      live_(Gauges(&registry_, "live", "1 while no worker is dead or stuck.").Add({})),
      open_calls_(Gauges(&registry_, "open_calls",
                         "Calls between their arrival and the last byte of their answer."),
                  "method", Names<kNumRpcMethods>(RpcMethodName)),
      receiving_calls_(Gauges(&registry_, "receiving_calls",
                              "Calls whose request is on its way, or waits to be read.")
                           .Add({})),
      answer_bytes_(Gauges(&registry_, "answer_bytes",
                           "Bytes of answers being computed or not yet taken by their readers.")
                        .Add({})),
      token_vector_bytes_(Gauges(&registry_, "token_vector_bytes",
                                 "Bytes of token vectors being computed or not yet sent.")
                              .Add({})),
      collections_(Gauges(&registry_, "collections",
                          "Collections of kept documents, by whether they can be used."),
                   "state", std::array<std::string, 2>{"usable", "unusable"}),
      kept_documents_(
          Gauges(&registry_, "kept_documents", "Documents of all collections.").Add({})),
      kept_bytes_(Gauges(&registry_, "kept_bytes",
                         "Bytes of kept documents, and of the files that hold them with what was "
                         "deleted."),
                  "kind", std::array<std::string, 2>{"documents", "files"}),
      connections_(Gauges(&registry_, "connections", "Connections that are open, by port."), "port",
                   std::array<std::string, 2>{"grpc", "http"}),
      connections_refused_(Counters(&registry_, "connections_refused_total",
                                    "Connections turned away or closed by the server, by reason."),
                           "reason", RefusedConnectionReasons()),
      http_requests_(Counters(&registry_, "http_requests_total",
                              "Requests to the HTTP port, by route and code of the answer.")),
      http_request_seconds_(Histograms(&registry_, "http_request_seconds",
                                       "Time from the headers of a request to the HTTP port to the "
                                       "last byte of its answer.")),
      log_dropped_(Counters(&registry_, "log_dropped_total",
                            "Log lines lost because whoever reads the log did not take them.")
                       .Add({})),
      tls_expires_(Gauges(&registry_, "tls_certificate_expiry_timestamp_seconds",
                          "When the certificate in force ends, in Unix seconds; 0 = no TLS.")
                       .Add({})),
      reloads_(Counters(&registry_, "reloads_total",
                        "Changed certificates or keys that were put in force."),
               "files", ReloadedFileNames()),
      reload_failures_(Counters(&registry_, "reload_failures_total",
                                "Looks, one a second, that found certificates or keys that cannot "
                                "be used; those before stay in force."),
                       "files", ReloadedFileNames()),
      process_(&registry_, model.weight_bytes, /*on_card=*/model.device != "cpu"),
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
}

// Two threads that meet here for the first time find the same child: Family::Add gives the one that
// is there.
Counter& Metrics::Requests(RpcMethod method, absl::StatusCode code) {
  std::atomic<Counter*>& known = requests_by_code_[static_cast<size_t>(method)][CodeIndex(code)];
  Counter* counter = known.load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &requests_.Add(
        {{"method", std::string(RpcMethodName(method))}, {"code", std::string(CodeName(code))}});
    known.store(counter, std::memory_order_release);
  }
  return *counter;
}

void Metrics::SetHttpRoutes(std::span<const std::string> routes) {
  for (const std::string& route : routes) {
    http_seconds_by_route_[route] = &http_request_seconds_.Add({{"route", route}}, kSeconds);
    http_requests_.Add({{"route", route}, {"code", "200"}});
  }
  http_seconds_by_route_[kOtherRoute] =
      &http_request_seconds_.Add({{"route", kOtherRoute}}, kSeconds);
  http_requests_.Add({{"route", kOtherRoute}, {"code", "404"}});
}

void Metrics::OnHttpRequest(std::string_view route, int code, absl::Duration time) {
  auto known = http_seconds_by_route_.find(route);
  if (known == http_seconds_by_route_.end()) known = http_seconds_by_route_.find(kOtherRoute);
  if (known == http_seconds_by_route_.end()) return;
  known->second->Observe(absl::ToDoubleSeconds(time));
  absl::MutexLock lock(&http_mu_);
  Counter*& counter = http_by_code_[{known->first, code}];
  if (counter == nullptr)
    counter = &http_requests_.Add({{"route", known->first}, {"code", absl::StrCat(code)}});
  counter->Increment();
}

void Metrics::OnCall(const CallOutcome& outcome) {
  Requests(outcome.method, outcome.status.code()).Increment();
  request_seconds_[static_cast<size_t>(outcome.method)].Observe(
      absl::ToDoubleSeconds(outcome.total));
  CountEnd(outcome);
  if (outcome.status.ok() && !outcome.itemised) CountWork(outcome);
  if (tei_ != nullptr && Encodes(outcome.method) && !IsStream(outcome.method))
    tei_->OnRequest(outcome.texts, outcome.status, outcome.total, outcome.timings);
}

void Metrics::OnText(int64_t tokens, const StageTimings& timings) {
  if (tei_ != nullptr) tei_->OnText(tokens, timings);
}

void Metrics::OnStreamItem(const CallOutcome& outcome) {
  std::atomic<Counter*>& known = items_by_code_[CodeIndex(outcome.status.code())];
  Counter* counter = known.load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &stream_items_.Add({{"code", std::string(CodeName(outcome.status.code()))}});
    known.store(counter, std::memory_order_release);
  }
  counter->Increment();
  CountEnd(outcome);
  if (tei_ != nullptr && Encodes(outcome.method))
    tei_->OnRequest(outcome.texts, outcome.status, outcome.total, outcome.timings);
  if (outcome.status.ok()) CountWork(outcome);
}

void Metrics::CountEnd(const CallOutcome& outcome) {
  const auto stage = static_cast<size_t>(outcome.timings.stage);
  switch (outcome.status.code()) {
    case absl::StatusCode::kCancelled:
      cancelled_[stage].Increment();
      break;
    case absl::StatusCode::kDeadlineExceeded:
      expired_[stage].Increment();
      break;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnauthenticated:
      CountRejected(outcome.status);
      break;
    default:
      break;
  }
}

// A reason that is not in the list counts under its code, so that no label is ever free text.
void Metrics::CountRejected(const absl::Status& status) {
  static const auto& names = *new auto(ReasonNames());
  std::string reason = ReasonOf(status).value_or("");
  if (reason == kReasonDeadlineUnreachable && !RetryAfterOf(status).has_value())
    reason = kDeadlineTooShort;
  const std::string_view code = CodeName(status.code());
  size_t by_code = names.size();
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == reason) return rejected_[i].Increment();
    if (names[i] == code) by_code = i;
  }
  if (by_code < names.size()) rejected_[by_code].Increment();
}

void Metrics::CountWork(const CallOutcome& outcome) {
  if (outcome.tokens == 0) return;
  if (outcome.tokenized) tokenize_seconds_.Observe(absl::ToDoubleSeconds(outcome.timings.tokenize));
  seconds_by_length_[LengthClassOf(outcome.longest_text)].Observe(
      absl::ToDoubleSeconds(outcome.total));
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
  queue_seconds_[static_cast<size_t>(lane)].Observe(absl::ToDoubleSeconds(waited));
}

void Metrics::OnOutOfMemorySplit(int32_t /*texts*/) { oom_splits_.Increment(); }

void Metrics::OnConnectionRefused(std::string_view reason) {
  const auto found =
      std::find(kRefusedConnectionReasons.begin(), kRefusedConnectionReasons.end(), reason);
  if (found != kRefusedConnectionReasons.end())
    connections_refused_[found - kRefusedConnectionReasons.begin()].Increment();
}

void Metrics::SetComputeTeams(const ComputeTeams& teams, std::span<const TeamSpeed> measured) {
  Gauges(&registry_, "compute_replicas", "Forward passes that run at once.")
      .Add({})
      .Set(teams.replicas);
  Gauges(&registry_, "compute_threads", "Threads of one forward pass while all replicas have one.")
      .Add({})
      .Set(teams.threads);
  for (const TeamSpeed& speed : measured) {
    Gauges(&registry_, "start_tokens_per_second",
           "Tokens a second at start, by division of the cores; what the division was chosen from.")
        .Add({{"replicas", absl::StrCat(speed.teams.replicas)},
              {"threads", absl::StrCat(speed.teams.threads)}})
        .Set(speed.tokens_per_second);
  }
}

void Metrics::SetLimits(std::span<const NamedLimit> limits) {
  Family<Gauge>& family = Gauges(&registry_, "limit", "The limits in force; 0 = none.");
  for (const NamedLimit& limit : limits) family.Add({{"limit", limit.name}}).Set(limit.value);
}

void Metrics::SetMemoryLimits(const MemoryLimits& limits) {
  Family<Gauge>& family =
      Gauges(&registry_, "memory_limit_bytes",
             "Memory that the process may take, by what bounds it; 0 = nothing.");
  family.Add({{"kind", "container"}}).Set(static_cast<double>(limits.container));
  family.Add({{"kind", "tensors"}}).Set(static_cast<double>(limits.tensors));
  family.Add({{"kind", "device"}}).Set(static_cast<double>(limits.device));
}

void Metrics::SetGaugeSource(std::function<ServerGauges()> source) {
  absl::MutexLock lock(&mu_);
  source_ = std::move(source);
}

void Metrics::ReadGauges() {
  const ServerGauges gauges = source_ ? source_() : ServerGauges{};
  process_.Read(gauges.card_memory);
  if (!source_) return;
  queue_texts_.Set(static_cast<double>(gauges.queue_texts));
  queue_tokens_.Set(static_cast<double>(gauges.queue_tokens));
  queue_predicted_seconds_.Set(gauges.queue_predicted_seconds);
  queue_oldest_seconds_.Set(gauges.queue_oldest_seconds);
  computing_threads_.Set(gauges.computing_threads);
  draining_.Set(gauges.draining ? 1 : 0);
  live_.Set(gauges.live ? 1 : 0);
  for (size_t method = 0; method < kNumRpcMethods; ++method)
    open_calls_[method].Set(static_cast<double>(gauges.open_calls[method] + http_calls_[method]));
  receiving_calls_.Set(static_cast<double>(gauges.receiving_calls));
  answer_bytes_.Set(static_cast<double>(gauges.answer_bytes));
  token_vector_bytes_.Set(static_cast<double>(gauges.token_vector_bytes));
  collections_[0].Set(
      static_cast<double>(gauges.collections.collections - gauges.collections.unusable));
  collections_[1].Set(static_cast<double>(gauges.collections.unusable));
  kept_documents_.Set(static_cast<double>(gauges.collections.documents));
  kept_bytes_[0].Set(static_cast<double>(gauges.collections.bytes));
  kept_bytes_[1].Set(static_cast<double>(gauges.collections.on_disk_bytes));
  connections_[0].Set(static_cast<double>(gauges.grpc_connections));
  connections_[1].Set(static_cast<double>(gauges.http_connections));
  RaiseTo(&log_dropped_, gauges.log_lines_lost);
  RaiseTo(&recordings_[0], gauges.recordings.recorded);
  RaiseTo(&recordings_[1], gauges.recordings.refused);
  RaiseTo(&recordings_[2], gauges.recordings.repeated);
  tls_expires_.Set(static_cast<double>(gauges.tls_expires));
  for (size_t i = 0; i < kNumReloadedFiles; ++i) {
    RaiseTo(&reloads_[i], gauges.reloads[i]);
    RaiseTo(&reload_failures_[i], gauges.reload_failures[i]);
  }
  if (tei_ != nullptr) tei_->SetQueueSize(gauges.queue_texts);
  for (int lane = 0; lane < kNumLanes; ++lane)
    cost_correction_[lane].Set(gauges.cost_correction[lane]);
}

std::string Metrics::Text() {
  absl::MutexLock lock(&mu_);
  ReadGauges();
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, registry_.Collect());
  return out.str();
}

}  // namespace longspan
