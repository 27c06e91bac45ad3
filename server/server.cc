#include "server/server.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/error_details.h"
#include "core/runtime/memory.h"
#include "server/connection_limits.h"
#include "server/engine_options.h"
#include "server/rpc/grpc_dial.h"
#include "server/rpc/transport_guard.h"
#include "server/start/start_report.h"
#include "server/text/sentences.h"

namespace longspan {
namespace {

// Documents that have expired are found no more from that moment on; what they take is free so much
// later.
constexpr absl::Duration kTendingPeriod = absl::Seconds(10);

// How long gRPC may take to end, once no answer is left that a drain waits for: connections say
// goodbye, and calls whose requests never came are cancelled.
constexpr absl::Duration kShutdownGrace = absl::Seconds(2);
// After a lost device. The process must end soon, so that another takes its place.
constexpr absl::Duration kLastAnswersGrace = absl::Milliseconds(500);

// The names that tell readiness.
std::set<std::string> ServedServices() {
  std::set<std::string> names(kServedTeiServices.begin(), kServedTeiServices.end());
  names.insert(kEncoderServiceName);
  return names;
}

// What reflection lists beside itself.
std::vector<std::string> KnownServices() {
  std::vector<std::string> names = {kEncoderServiceName, kHealthServiceName};
  names.insert(names.end(), kServedTeiServices.begin(), kServedTeiServices.end());
  names.insert(names.end(), kUnservedTeiServices.begin(), kUnservedTeiServices.end());
  return names;
}

// A server that has been idle for so long gives memory back: pauses between the requests of a busy
// server are shorter.
constexpr absl::Duration kIdleBeforeTrim = absl::Seconds(5);
// Bytes that it keeps, so that a short text after a pause still finds its memory warm.
constexpr int64_t kKeptWhenIdle = int64_t{64} << 20;
// Free memory that malloc may keep in a busy server, and how often it is asked to give more back.
constexpr int64_t kMostFreeHeap = int64_t{64} << 20;
constexpr absl::Duration kBetweenTrims = absl::Seconds(1);

}  // namespace

absl::Status CheckFiles(const ServerOptions& options) {
  if (absl::Status status =
          TlsFiles({options.tls_cert, options.tls_key, options.tls_client_ca}).Load();
      !status.ok())
    return status;
  return KeyRing(options.auth_keys_file).Load();
}

Server::Server(ServerOptions options, ServedModel model, Log* log, std::function<void()> on_lost)
    : options_(std::move(options)),
      model_(std::move(model)),
      log_(log),
      on_lost_(std::move(on_lost)),
      tls_({options_.tls_cert, options_.tls_key, options_.tls_client_ca}),
      keys_(options_.auth_keys_file),
      metrics_(model_.info, options_.tei_metric_names),
      cost_(model_.cost, SchedulerOf(options_, model_).lanes),
      observers_({&metrics_, &cost_}),
      open_calls_(
          {.max_receiving_bytes = options_.max_receiving_bytes,
           .max_body_time = options_.default_deadline,
           .max_unread_time = options_.default_deadline},
          [this] { return ReceivedBytes(); },
          [this](const OpenCalls::Dropped& dropped) { OnDropped(dropped); }, &clock_),
      health_(ServedServices(), &open_calls_),
      reflection_(KnownServices(), &keys_, &open_calls_),
      admission_(AdmissionOf(options_, model_), cost_.Corrected().text_seconds, &clock_),
      scheduler_(SchedulerOf(options_, model_), cost_.Corrected(), &clock_),
      tokenizers_(static_cast<int>(options_.tokenizer_threads)),
      pipeline_(PreparationOf(options_, model_), &admission_, &tokenizers_, &scheduler_),
      parts_{.options = &options_,
             .model = &model_.info,
             .tokenizer = model_.tokenizer.get(),
             .lifecycle = &lifecycle_,
             .clock = &clock_,
             .keys = &keys_,
             .admission = &admission_,
             .tokenizers = &tokenizers_,
             .pipeline = &pipeline_,
             .scheduler = &scheduler_,
             .metrics = &metrics_,
             .log = log,
             .drain_bell = &drain_bell_,
             .open_calls = &open_calls_},
      service_(&parts_),
      tei_service_(&parts_) {
  metrics_.SetGaugeSource([this] { return ReadGauges(); });
}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(ServerOptions options, ServedModel model,
                                                       Log* log, std::function<void()> on_lost) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  if (absl::Status status = LoadSentenceRules(); !status.ok()) return status;
  // 0 where LoadServedModel did not run.
  if (options.max_collection_bytes == 0) options.max_collection_bytes = int64_t{256} << 20;
  options.replicas = std::max<int64_t>(1, options.replicas);
  if (options.max_batch_tokens == 0) options.max_batch_tokens = DefaultBatchTokens(model.on_card);
  const ConnectionLimits connections = ConnectionLimitsOf(options);
  options.max_connections = connections.grpc;
  options.max_connections_per_client = connections.grpc_per_client;
  std::unique_ptr<Server> server(
      new Server(std::move(options), std::move(model), log, std::move(on_lost)));
  if (absl::Status status = server->tls_.Load(); !status.ok()) return status;
  if (absl::Status status = server->keys_.Load(); !status.ok()) return status;
  if (absl::Status status = server->OpenCollections(); !status.ok()) return status;
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  if (absl::Status status = server->ListenHttp(connections.http, connections.http_per_client);
      !status.ok())
    return status;
  return server;
}

absl::Status Server::OpenCollections() {
  if (!options_.collections || model_.tokenizer == nullptr) return absl::OkStatus();
  std::vector<std::string> lines;
  auto opened = Collections::Open({.directory = options_.collections_directory,
                                   .max_bytes = options_.max_collection_bytes,
                                   .max_bytes_of_owner = options_.max_collection_bytes_per_key,
                                   .model_fingerprint = model_.fingerprint,
                                   .width = model_.info.token_dimensions,
                                   .now = absl::Now},
                                  &lines);
  LogCollections(lines);
  if (!opened.ok()) {
    return absl::Status(opened.status().code(),
                        absl::StrCat("collections-directory: ", opened.status().message()));
  }
  collections_ = *std::move(opened);
  parts_.collections = collections_.get();
  return absl::OkStatus();
}

void Server::LogCollections(const std::vector<std::string>& lines) const {
  for (const std::string& line : lines)
    log_->Write(LogLevel::kWarning, "collections", {{"message", line}});
}

void Server::StartWorkers() {
  WorkerOptions options{.preempt = options_.preempt,
                        .piece_bytes = model_.piece_bytes,
                        .shares_memory = model_.on_card};
  std::vector<std::shared_ptr<SharedDevice>> cards(model_.encoders.size());
  if (model_.on_card) {
    options.cpu_time = WorkerOptions::NoCpuTime;
    // A pass is on the card's queue as a whole before its first layer has run.
    options.preempt = false;
    for (auto& card : cards) card = std::make_shared<SharedDevice>();
  }
  for (int64_t i = 0; i < options_.replicas; ++i) {
    const size_t device = i % model_.encoders.size();
    options.device = cards[device];
    workers_.push_back(std::make_unique<EncoderWorker>(model_.encoders[device], &scheduler_,
                                                       &observers_, &clock_, options));
  }
  reaper_ = std::make_unique<QueueReaper>(&scheduler_);
}

void Server::StartWatching() {
  watchdog_ = std::make_unique<Watchdog>(
      [this] {
        WorkerState worst = WorkerState::kGood;
        for (const auto& worker : workers_) {
          worst =
              std::max(worst, JudgeWorker(worker->Look(), clock_.Now(), options_.watchdog_factor));
        }
        return worst;
      },
      [this](WorkerState state) { OnWorkerState(state); });
  trimmer_ = std::make_unique<IdleTrimmer>(
      [this] {
        const Admission::Backlog backlog = admission_.backlog();
        // A call that was refused leaves memory behind, too.
        return IdleTrimmer::Activity{.busy = backlog.tasks > 0,
                                     .tasks = backlog.admitted + open_calls_.num_opened()};
      },
      [] { TrimMemory(kKeptWhenIdle); }, kIdleBeforeTrim);
  heap_trimmer_ = std::make_unique<HeapTrimmer>(
      [] {
        const MemoryStats tensors = GetMemoryStats();
        return ResidentPrivateBytes() - tensors.live_bytes - tensors.cached_bytes -
               HeapBytesInUse();
      },
      TrimHeap, kMostFreeHeap, kBetweenTrims);
  every_second_ = std::make_unique<Periodic>(
      [this] {
        watchdog_->Look();
        trimmer_->Look(clock_.Now());
        heap_trimmer_->Look(clock_.Now());
      },
      absl::Seconds(1));
  port_watch_ = std::make_unique<PortWatch>(
      [this] {
        // Without a descriptor nothing can be asked, and the port is not to blame.
        if (FreeDescriptors(2) < 2) return absl::OkStatus();
        return DialGrpc(self_sockets_, !options_.tls_cert.empty(), PortWatch::kPatience);
      },
      [this](PortState state, const absl::Status& last) { OnPortState(state, last); });
  port_period_ = std::make_unique<Periodic>([this] { port_watch_->Look(); }, PortWatch::kPeriod);
  heap_at_rest_ = HeapBytesInUse();
  if (heap_at_rest_ == 0) {
    log_->Write(LogLevel::kWarning, "heap_unknown",
                {{"effect", "max-receiving-bytes is not in force: malloc is not glibc's"}});
  }
  if (collections_ != nullptr) {
    tending_collections_ = std::make_unique<Periodic>(
        [this] { LogCollections(collections_->Maintain()); }, kTendingPeriod);
  }
  watching_calls_ = std::make_unique<Periodic>([this] { open_calls_.Look(); }, OpenCalls::kPeriod);
  reloader_.Start();
}

int64_t Server::ReceivedBytes() const {
  // The tokenizer takes up to 600 bytes for each byte of the texts that it reads at once
  // (tokenizer_pool.h). A text that waits is held once or twice, its tokens take some 40 bytes
  // each, and a pass some more.
  constexpr int64_t kTokenizedAtOnce = int64_t{2} << 20;
  const Admission::Backlog backlog = admission_.backlog();
  const int64_t texts = 16 * backlog.bytes + 600 * std::min(backlog.bytes, kTokenizedAtOnce);
  const int64_t tokens = 256 * backlog.tokens;
  return HeapBytesInUse() - heap_at_rest_ - texts - tokens - 2 * backlog.answer_bytes -
         backlog.token_vector_bytes - http_.body_bytes();
}

void Server::OnDropped(const OpenCalls::Dropped& dropped) {
  metrics_.OnDropped(dropped.reason);
  log_->Write(LogLevel::kWarning, "call_dropped",
              {{"reason", DropReasonName(dropped.reason)},
               {"client", dropped.client},
               {"waited_seconds", absl::ToDoubleSeconds(dropped.waited)}});
}

void Server::SetLive() { health_.SetLive(workers_good_ && port_good_); }

std::string Server::DeviceError() const {
  for (const auto& worker : workers_) {
    const EncoderWorker::Heartbeat heartbeat = worker->heartbeat();
    if (heartbeat.device_lost) return heartbeat.device_error;
  }
  return "";
}

void Server::OnWorkerState(WorkerState state) {
  static constexpr const char* kEvents[] = {"worker_moves_again", "worker_stuck", "worker_dead"};
  const std::string lost = DeviceError();
  if (!lost.empty()) {
    log_->Write(LogLevel::kError, "device_lost",
                {{"device", model_.info.device}, {"error", ShortMessage(lost)}, {"exit_code", 4}});
  } else {
    log_->Write(state == WorkerState::kGood ? LogLevel::kWarning : LogLevel::kError,
                kEvents[static_cast<int>(state)]);
  }
  workers_good_ = state == WorkerState::kGood;
  SetLive();
  if (state == WorkerState::kDead) GiveUp();
}

// Every caller gets an answer before the process ends. A worker that hangs cannot be waited for.
void Server::GiveUp() {
  bool first = false;
  std::call_once(gave_up_, [&first] { first = true; });
  if (!first) return;
  lifecycle_.Set(Lifecycle::Phase::kRefusing);
  admission_.StopAdmitting();
  drain_bell_.Ring();
  for (const auto& worker : workers_)
    worker->FailRunning(absl::InternalError(port_good_ ? "the computing device is lost or hangs"
                                                       : "the server ends: its port is dead"));
  scheduler_.Shutdown();
  admission_.AwaitIdle(clock_.Now() + kLastAnswersGrace);
  absl::SleepFor(kLastAnswersGrace);  // the answers leave the process, and probes see NOT_SERVING
  log_->Flush();
  if (on_lost_) on_lost_();
}

absl::Status Server::Start() {
  ReportStart(options_, model_, log_, &metrics_);
  ReportConnections();
  if (model_.warm_up) {
    if (absl::Status status = model_.warm_up(); !status.ok()) return status;
  }
  StartWorkers();
  StartWatching();
  lifecycle_.Set(Lifecycle::Phase::kServing);
  health_.SetReady(true);
  log_->Write(LogLevel::kInfo, "serving",
              {{"model", model_.info.name},
               {"architecture", model_.info.architecture},
               {"dtype", DataTypeName(model_.info.dtype)},
               {"device", model_.info.device},
               {"grpc_address", grpc_address()},
               {"grpc_port", grpc_port()},
               {"http_port", http_.port()}});
  return absl::OkStatus();
}

bool Server::Drain() {
  log_->Write(LogLevel::kInfo, "draining",
              {{"delay_seconds", absl::ToDoubleSeconds(options_.drain_delay)}});
  lifecycle_.Set(Lifecycle::Phase::kLeaving);
  http_.Drain();
  health_.SetReady(false);
  health_.FinishWatches();
  absl::SleepFor(options_.drain_delay);
  lifecycle_.Set(Lifecycle::Phase::kRefusing);
  admission_.StopAdmitting();
  drain_bell_.Ring();
  reflection_.FinishStreams();
  const absl::Time limit = clock_.Now() + options_.drain_limit;
  const bool computed = admission_.AwaitIdle(limit);
  // An answer counts once its reader has taken it, not when it is computed.
  const bool taken = open_calls_.AwaitAnswered(limit);
  const bool finished = http_.AwaitAnswered(limit - clock_.Now()) && taken && computed;
  Log::Fields unanswered = Log::Fields::object();
  const OpenCalls::Counts left = open_calls_.unanswered();
  for (size_t method = 0; method < left.size(); ++method) {
    if (left[method] > 0)
      unanswered[std::string(RpcMethodName(static_cast<RpcMethod>(method)))] = left[method];
  }
  listener_->Stop();
  grpc_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kShutdownGrace));
  log_->Write(finished ? LogLevel::kInfo : LogLevel::kError, "drained",
              {{"all_answered", finished}, {"unanswered_calls", unanswered}});
  return finished;
}

// Ends the parts in an order in which none waits for one that is gone: first the probes, then what
// waits for the engine, then its workers, and last the gRPC server, when every call has its answer.
Server::~Server() {
  http_.Stop();
  port_period_.reset();
  every_second_.reset();
  tending_collections_.reset();
  watching_calls_.reset();
  reloader_.Stop();
  lifecycle_.Set(Lifecycle::Phase::kRefusing);
  health_.FinishWatches();
  reflection_.FinishStreams();
  admission_.StopAdmitting();
  drain_bell_.Ring();
  tokenizers_.Shutdown();
  scheduler_.Shutdown();
  workers_.clear();
  reaper_.reset();
  if (listener_ != nullptr) listener_->Stop();
  if (grpc_ != nullptr) {
    grpc_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kShutdownGrace));
  }
  grpc_.reset();
  transport_guard::SetObserver({});
  log_->Flush();
}

CollectionGauges Server::ReadCollections() const {
  if (collections_ == nullptr) return {};
  const Collections::Totals totals = collections_->totals();
  return {.collections = totals.collections,
          .unusable = totals.unusable,
          .documents = totals.documents,
          .bytes = totals.bytes,
          .on_disk_bytes = totals.on_disk_bytes};
}

ServerGauges Server::ReadGauges() const {
  const BatchScheduler::Depth depth = scheduler_.depth();
  const Admission::Backlog backlog = admission_.backlog();
  std::optional<DeviceMemory> card;
  if (model_.device_memory) card = model_.device_memory();
  return {.queue_texts = depth.pieces,
          .queue_tokens = depth.tokens,
          .queue_predicted_seconds = backlog.seconds(),
          .queue_oldest_seconds = absl::ToDoubleSeconds(depth.oldest),
          .computing_threads = depth.computing_threads,
          .draining = lifecycle_.draining(),
          .live = health_.live(),
          .open_calls = open_calls_.open(),
          .receiving_calls = open_calls_.num_receiving(),
          .answer_bytes = backlog.answer_bytes,
          .token_vector_bytes = backlog.token_vector_bytes,
          .collections = ReadCollections(),
          .grpc_connections = listener_ == nullptr ? 0 : listener_->connections(),
          .http_connections = http_.connections(),
          .log_lines_lost = log_->num_lost(),
          .tls_expires = tls_.in_use() ? absl::ToUnixSeconds(tls_.expires()) : 0,
          .reloads = {tls_.files().num_taken(), keys_.files().num_taken()},
          .reload_failures = {tls_.files().num_refused(), keys_.files().num_refused()},
          .card_memory = card,
          .recordings = model_.recordings ? model_.recordings() : RecordingCounts{},
          .cost_correction = {cost_.factor(Lane::kShort), cost_.factor(Lane::kLong),
                              cost_.factor(Lane::kBulk)}};
}

}  // namespace longspan
