#include "server/server.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/runtime/memory.h"
#include "server/http/probes.h"
#include "server/rpc/grpc_dial.h"
#include "server/rpc/metadata_limit.h"

namespace longspan {
namespace {

// A socket's path is made absolute where it then still fits, so that what the server prints holds
// in every folder.
Address AbsoluteAddress(Address address) {
  if (address.kind != Address::Kind::kUnix) return address;
  std::error_code error;
  const std::string path =
      std::filesystem::absolute(address.host, error).lexically_normal().string();
  if (!error && path.size() <= kMaxSocketPathBytes) address.host = path;
  return address;
}

CoreOptions CoresOf(const ServerOptions& options, const ServedModel& model) {
  return {.workers = static_cast<int>(std::max<int64_t>(1, options.replicas)),
          .threads = static_cast<int>(std::max<int64_t>(1, options.threads)),
          .follow_load = model.teams_follow_load};
}

AdmissionOptions AdmissionOf(const ServerOptions& options, const ServedModel& model) {
  AdmissionOptions out;
  out.max_queue_bytes = options.max_queue_bytes;
  out.max_queue_tokens = options.max_queue_tokens;
  out.max_queue_wait = absl::Seconds(options.max_queue_seconds);
  out.max_token_vector_bytes = options.max_token_vector_bytes;
  // Where teams follow the load, a predicted second is one of all cores.
  out.num_replicas = model.teams_follow_load ? 1 : static_cast<int>(options.replicas);
  return out;
}

BatchSchedulerOptions SchedulerOf(const ServerOptions& options, const ServedModel& model) {
  BatchSchedulerOptions out;
  out.max_batch_tokens = options.max_batch_tokens;
  out.batch_timeout = options.batch_timeout;
  out.length_multiple = model.info.length_multiple;
  out.cores = CoresOf(options, model);
  return out;
}

PreparationContext PreparationOf(const ServerOptions& options, const ServedModel& model) {
  PreparationContext out;
  out.model = &model.info;
  out.validate = model.validate;
  out.max_tokens = MaxTokensInForce(options, model.info);
  if (model.tokenizer == nullptr) return out;
  out.tokenize = [tokenizer = model.tokenizer.get()](std::string_view text) {
    return tokenizer->Encode(text);
  };
  out.prefix_ids = model.tokenizer->prefix_ids();
  out.suffix_ids = model.tokenizer->suffix_ids();
  if (model.info.num_token_types > 0) out.types = model.tokenizer->types();
  return out;
}

std::string ExpiryText(absl::Time expires) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", expires, absl::UTCTimeZone());
}

// How long finished answers may take to leave the process, once no work is left: a reader that is
// well takes milliseconds.
// In the destructor, and at the least after a drain, also where that has used up its limit:
constexpr absl::Duration kMinShutdownGrace = absl::Seconds(2);
// At the most after a drain. A caller that does not read its answer must not hold the exit for the
// rest of a long drain limit.
constexpr absl::Duration kMaxShutdownGrace = absl::Seconds(30);
// After a lost device. The process must end soon, so that another takes its place.
constexpr absl::Duration kLastAnswersGrace = absl::Milliseconds(500);

// A certificate that ends so soon is told of in the log, and so often. Issuers that renew
// themselves do it long before.
constexpr absl::Duration kExpiresSoon = absl::Hours(7 * 24);
constexpr absl::Duration kTellOfExpiry = absl::Hours(24);

// Pings of a caller that waits. 10 s is the smallest interval of grpc-go and the setting of many
// meshes, and half of it leaves room for timers that fire early. A network that stalls delivers
// pings in bunches, so a few may come too soon; the count begins anew with each answer. Pings
// without a pause still end their connection after a dozen.
constexpr int kMinPingIntervalMs = 5'000;
constexpr int kMaxEarlyPings = 10;

// How long /healthz waits for the gRPC port. A port that is well answers within milliseconds. What
// probes /healthz needs a timeout above this one.
constexpr absl::Duration kDialTimeout = absl::Seconds(2);

// A server that has been idle for so long gives memory back: pauses between the requests of a busy
// server are shorter.
constexpr absl::Duration kIdleBeforeTrim = absl::Seconds(5);
// Bytes that it keeps, so that a short text after a pause still finds its memory warm.
constexpr int64_t kKeptWhenIdle = int64_t{64} << 20;

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
      health_({kEncoderServiceName}),
      reflection_({kEncoderServiceName, grpc::health::v1::Health::service_full_name()}, &keys_),
      admission_(AdmissionOf(options_, model_), cost_.Corrected().text_seconds, &clock_),
      scheduler_(SchedulerOf(options_, model_), cost_.Corrected(), &clock_),
      tokenizers_(static_cast<int>(options_.tokenizer_threads)),
      pipeline_(PreparationOf(options_, model_), &admission_, &tokenizers_, &scheduler_),
      parts_{&options_,   &model_.info, model_.tokenizer.get(),
             &lifecycle_, &clock_,      &keys_,
             &admission_, &tokenizers_, &pipeline_,
             &scheduler_, &metrics_,    log,
             &drain_bell_},
      service_(&parts_) {
  metrics_.SetGaugeSource([this] { return ReadGauges(); });
}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(ServerOptions options, ServedModel model,
                                                       Log* log, std::function<void()> on_lost) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  options.replicas = std::max<int64_t>(1, options.replicas);  // 0 where LoadServedModel did not run
  std::unique_ptr<Server> server(
      new Server(std::move(options), std::move(model), log, std::move(on_lost)));
  if (absl::Status status = server->tls_.Load(); !status.ok()) return status;
  if (absl::Status status = server->keys_.Load(); !status.ok()) return status;
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  if (absl::Status status = server->ListenHttp(); !status.ok()) return status;
  return server;
}

// Each setting is a measured need of gRPC 1.51.
void Server::ConfigureBuilder(grpc::ServerBuilder* builder) const {
  // A compressed message is unpacked before its size limit applies: a small one could take all
  // memory.
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder->SetMaxReceiveMessageSize(static_cast<int>(options_.max_request_bytes));
  builder->SetMaxSendMessageSize(-1);  // no limit: an answer is as large as its request made it
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                              static_cast<int>(options_.max_concurrent_streams));
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxTransportMetadataBytes);
  // Peers that connect and say nothing hold sockets: 10 s for the handshake, and a peer that has
  // been silent for 60 s must answer a ping within 20 s.
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Clients may ping while they wait for a long text, and with GRPC_ARG_KEEPALIVE_PERMIT_... above
  // also while they have no call, as pools of connections do. By default gRPC takes that for abuse
  // and closes the connection (GOAWAY too_many_pings), which fails the calls on it.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              kMinPingIntervalMs);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, kMaxEarlyPings);
  // A connection must not pin its client to one server for ever: after 30 minutes (gRPC adds 10 %
  // of jitter either way) the client connects anew and may land elsewhere. Calls under way have an
  // hour to end, so that the streams of a bulk run end in peace.
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 30 * 60'000);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 60 * 60'000);
  // A second server on the same port is an error, not a silent sharing of the connections.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

absl::Status Server::Listen() {
  listening_ = AbsoluteAddress(ReadAddress(options_.listen).value());  // Validate has read it
  const auto cannot = [this](absl::string_view why) {
    return absl::UnavailableError(absl::StrCat("listen: cannot listen on ", options_.listen, ": ",
                                               why, "; choose another --listen"));
  };
  auto sockets = FindFreeSockets(listening_);
  if (!sockets.ok()) return cannot(sockets.status().message());
  grpc::EnableDefaultHealthCheckService(false);
  grpc::ServerBuilder builder;
  ConfigureBuilder(&builder);
  int port = 0;
  builder.AddListeningPort(AddressText(listening_), tls_.Credentials(), &port);
  builder.RegisterService(&service_);
  builder.RegisterService(&health_);
  if (options_.reflection) reflection_.RegisterWith(&builder);
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr || port == 0)
    return cannot("in use, or not an address of this machine");  // taken since we looked
  if (listening_.has_port()) listening_.port = port;
  self_sockets_ = SelfSockets(*std::move(sockets), listening_.port);
  return absl::OkStatus();
}

absl::Status Server::ListenHttp() {
  if (options_.http == "off") return absl::OkStatus();
  AddProbeRoutes(
      {.lifecycle = &lifecycle_,
       .ready = [this] { return health_.ready(); },
       .live = [this] { return health_.live(); },
       .dial = [this] { return DialGrpc(self_sockets_, !options_.tls_cert.empty(), kDialTimeout); },
       .metrics = [this] { return metrics_.Text(); }},
      &http_);
  return http_.Start(options_.http);
}

void Server::ReportComputeTeams() {
  Log::Fields measured = Log::Fields::array();
  for (const TeamSpeed& speed : model_.team_speeds) {
    measured.push_back({{"replicas", speed.teams.replicas},
                        {"threads", speed.teams.threads},
                        {"tokens_per_second", std::round(speed.tokens_per_second)}});
  }
  log_->Write(LogLevel::kInfo, "compute_teams",
              {{"replicas", options_.replicas},
               {"threads", options_.threads},
               {"chosen_by", measured.empty() ? "settings" : "measurement"},
               {"follow_load", model_.teams_follow_load},
               {"measured", measured}});
  if (!model_.thread_limit.empty()) {
    log_->Write(LogLevel::kWarning, "threads_limited",
                {{"threads", options_.threads}, {"cause", model_.thread_limit}});
  }
  metrics_.SetComputeTeams(
      {static_cast<int>(options_.replicas), static_cast<int>(options_.threads)},
      model_.team_speeds);
}

void Server::StartWorkers() {
  for (int64_t i = 0; i < options_.replicas; ++i) {
    workers_.push_back(std::make_unique<EncoderWorker>(model_.encode, &scheduler_, &observers_,
                                                       &clock_,
                                                       WorkerOptions{.preempt = options_.preempt}));
  }
  reaper_ = std::make_unique<QueueReaper>(&scheduler_);
}

void Server::StartWatching() {
  watchdog_ = std::make_unique<Watchdog>(
      [this] {
        WorkerState worst = WorkerState::kGood;
        for (const auto& worker : workers_) {
          worst = std::max(
              worst, JudgeWorker(worker->heartbeat(), clock_.Now(), options_.watchdog_factor));
        }
        return worst;
      },
      [this](WorkerState state) { OnWorkerState(state); });
  trimmer_ = std::make_unique<IdleTrimmer>(
      [this] {
        const Admission::Backlog backlog = admission_.backlog();
        return IdleTrimmer::Activity{.busy = backlog.tasks > 0, .tasks = backlog.admitted};
      },
      [] { TrimMemory(kKeptWhenIdle); }, kIdleBeforeTrim);
  every_second_ = std::make_unique<Periodic>(
      [this] {
        watchdog_->Look();
        trimmer_->Look(clock_.Now());
      },
      absl::Seconds(1));
  reloader_ = std::make_unique<Periodic>([this] { LookAtFiles(); }, absl::Seconds(1));
}

void Server::LookAtFiles() {
  const bool at_once = reload_at_once_.exchange(false);
  const WatchedFiles::Seen tls = tls_.Look(at_once);
  LogLook("tls", tls, {{"subject", tls_.subject()}, {"expires", ExpiryText(tls_.expires())}});
  const WatchedFiles::Seen keys = keys_.Look(at_once);
  LogLook("auth_keys", keys, {{"keys", keys_.num_keys()}});
  // Files that were being written when they were asked for are taken as soon as they stand still.
  if (at_once && (tls.change == WatchedFiles::Change::kPending ||
                  keys.change == WatchedFiles::Change::kPending))
    Reload();
  WarnOfExpiry();
}

void Server::LogLook(std::string_view name, const WatchedFiles::Seen& seen,
                     const Log::Fields& facts) {
  Log::Fields fields = {{"files", name}};
  if (seen.change == WatchedFiles::Change::kTaken) {
    fields.update(facts);
    log_->Write(LogLevel::kInfo, "reloaded", fields);
  } else if (seen.change == WatchedFiles::Change::kRefused && seen.is_news) {
    fields["error"] = std::string(seen.why.message());
    log_->Write(LogLevel::kError, "reload_failed", fields);
  }
}

void Server::WarnOfExpiry() {
  if (!tls_.in_use() || tls_.expires() - absl::Now() > kExpiresSoon) return;
  const absl::Time now = clock_.Now();
  if (now - expiry_told_ < kTellOfExpiry) return;
  expiry_told_ = now;
  log_->Write(LogLevel::kWarning, "certificate_expires",
              {{"subject", tls_.subject()}, {"expires", ExpiryText(tls_.expires())}});
}

void Server::OnWorkerState(WorkerState state) {
  static constexpr const char* kEvents[] = {"worker_moves_again", "worker_stuck", "worker_dead"};
  log_->Write(state == WorkerState::kGood ? LogLevel::kWarning : LogLevel::kError,
              kEvents[static_cast<int>(state)]);
  health_.SetLive(state == WorkerState::kGood);
  if (state == WorkerState::kDead) GiveUp();
}

// Every caller gets an answer before the process ends. A worker that hangs cannot be waited for.
void Server::GiveUp() {
  lifecycle_.Set(Lifecycle::Phase::kRefusing);
  admission_.StopAdmitting();
  drain_bell_.Ring();
  for (const auto& worker : workers_)
    worker->FailRunning(absl::InternalError("the computing device is lost or hangs"));
  scheduler_.Shutdown();
  admission_.AwaitIdle(clock_.Now() + kLastAnswersGrace);
  absl::SleepFor(kLastAnswersGrace);  // the answers leave the process, and probes see NOT_SERVING
  log_->Flush();
  if (on_lost_) on_lost_();
}

absl::Status Server::Start() {
  ReportComputeTeams();
  for (const std::string& warning : model_.warnings)
    log_->Write(LogLevel::kWarning, "model_folder", {{"warning", warning}});
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
               {"grpc_address", grpc_address()},
               {"grpc_port", grpc_port()},
               {"http_port", http_.port()}});
  return absl::OkStatus();
}

bool Server::Drain() {
  log_->Write(LogLevel::kInfo, "draining",
              {{"delay_seconds", absl::ToDoubleSeconds(options_.drain_delay)}});
  lifecycle_.Set(Lifecycle::Phase::kLeaving);
  health_.SetReady(false);
  health_.FinishWatches();
  absl::SleepFor(options_.drain_delay);
  lifecycle_.Set(Lifecycle::Phase::kRefusing);
  admission_.StopAdmitting();
  drain_bell_.Ring();
  reflection_.FinishStreams();
  const absl::Time limit = clock_.Now() + options_.drain_limit;
  const bool finished = admission_.AwaitIdle(limit);
  const absl::Duration grace =
      std::clamp(limit - clock_.Now(), kMinShutdownGrace, kMaxShutdownGrace);
  grpc_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
  log_->Write(finished ? LogLevel::kInfo : LogLevel::kError, "drained",
              {{"all_answered", finished}});
  return finished;
}

// Ends the parts in an order in which none waits for one that is gone: first the probes, then what
// waits for the engine, then its workers, and last the gRPC server, when every call has its answer.
Server::~Server() {
  http_.Stop();
  every_second_.reset();
  reloader_.reset();
  lifecycle_.Set(Lifecycle::Phase::kRefusing);
  health_.FinishWatches();
  reflection_.FinishStreams();
  admission_.StopAdmitting();
  drain_bell_.Ring();
  tokenizers_.Shutdown();
  scheduler_.Shutdown();
  workers_.clear();
  reaper_.reset();
  if (grpc_ != nullptr) {
    grpc_->Shutdown(std::chrono::system_clock::now() +
                    absl::ToChronoMilliseconds(kMinShutdownGrace));
  }
  grpc_.reset();
  log_->Flush();
}

ServerGauges Server::ReadGauges() const {
  const BatchScheduler::Depth depth = scheduler_.depth();
  return {.queue_texts = depth.pieces,
          .queue_tokens = depth.tokens,
          .queue_predicted_seconds = admission_.backlog().seconds(),
          .queue_oldest_seconds = absl::ToDoubleSeconds(depth.oldest),
          .computing_threads = depth.computing_threads,
          .draining = lifecycle_.draining(),
          .log_lines_lost = log_->num_lost(),
          .tls_expires = tls_.in_use() ? absl::ToUnixSeconds(tls_.expires()) : 0,
          .reloads = {tls_.files().num_taken(), keys_.files().num_taken()},
          .reload_failures = {tls_.files().num_refused(), keys_.files().num_refused()},
          .cost_correction = {cost_.factor(Lane::kShort), cost_.factor(Lane::kLong),
                              cost_.factor(Lane::kBulk)}};
}

}  // namespace longspan
