#include "server/server.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/error_details.h"
#include "core/runtime/memory.h"
#include "server/http/probes.h"
#include "server/page/page.h"
#include "server/rest/docs_page.h"
#include "server/rest/rest_routes.h"
#include "server/rpc/grpc_dial.h"
#include "server/rpc/metadata_limit.h"
#include "server/rpc/transport_guard.h"
#include "server/start/start_report.h"
#include "server/text/sentences.h"

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
  out.max_answer_bytes = options.max_answer_bytes;
  // Where teams follow the load, a predicted second is one of all cores; on cards it is one of a
  // card.
  out.num_replicas = static_cast<int>(model.teams_follow_load ? 1
                                      : model.on_card         ? model.encoders.size()
                                                              : options.replicas);
  return out;
}

// BatchSchedulerOptions::shared_tokens on a card. Launching the kernels of 12 layers takes the host
// 4 ms (docs/gpu.md), in which a card computes some 10,000 tokens of a model of that size: a
// smaller batch leaves it idle.
constexpr int64_t kSharedTokensOfCard = 16384;

BatchSchedulerOptions SchedulerOf(const ServerOptions& options, const ServedModel& model) {
  BatchSchedulerOptions out;
  out.max_batch_tokens = options.max_batch_tokens;
  out.batch_timeout = options.batch_timeout;
  if (model.on_card) out.shared_tokens = kSharedTokensOfCard;
  out.length_multiple = model.info.length_multiple;
  out.cores = CoresOf(options, model);
  return out;
}

// Independent spans of a text may have as many bytes together as so many texts of the longest kind.
// They are tokenised one by one on one thread, at some ten MiB a second: it is busy for seconds.
constexpr int64_t kIndependentTexts = 8;

PreparationContext PreparationOf(const ServerOptions& options, const ServedModel& model) {
  PreparationContext out;
  out.model = &model.info;
  out.validate = model.validate;
  out.max_tokens = MaxTokensInForce(options, model.info);
  if (MaxTokensSetBy(options, model.info) == "memory") out.max_tokens_of = "this server's memory";
  if (MaxTokensSetBy(options, model.info) == "setting") out.max_tokens_of = "this server";
  out.piece_bytes = model.piece_bytes;
  out.max_piece_bytes = model.max_piece_bytes;
  out.max_global_tokens = options.max_global_tokens;
  out.max_independent_tokens = options.max_queue_tokens;
  out.max_independent_bytes = kIndependentTexts * options.max_text_bytes;
  if (model.tokenizer == nullptr) return out;
  out.tokenize = [tokenizer = model.tokenizer.get()](std::string_view text, const StopCheck& stop) {
    return tokenizer->Encode(text, /*add_special_tokens=*/true, stop);
  };
  out.prefix_ids = model.tokenizer->prefix_ids();
  out.suffix_ids = model.tokenizer->suffix_ids();
  if (model.info.num_token_types > 0) out.types = model.tokenizer->types();
  return out;
}

// Documents that have expired are found no more from that moment on; what they take is free so much
// later.
constexpr absl::Duration kTendingPeriod = absl::Seconds(10);

// How long gRPC may take to end, once no answer is left that a drain waits for: connections say
// goodbye, and calls whose requests never came are cancelled.
constexpr absl::Duration kShutdownGrace = absl::Seconds(2);
// After a lost device. The process must end soon, so that another takes its place.
constexpr absl::Duration kLastAnswersGrace = absl::Milliseconds(500);

// Pings of a caller that waits. 10 s is the smallest interval of grpc-go and the setting of many
// meshes, and half of it leaves room for timers that fire early. A network that stalls delivers
// pings in bunches, so a few may come too soon; the count begins anew with each answer. Pings
// without a pause still end their connection after a dozen.
constexpr int kMinPingIntervalMs = 5'000;
constexpr int kMaxEarlyPings = 10;

// How long /healthz waits for the gRPC port. A port that is well answers within milliseconds. What
// probes /healthz needs a timeout above this one.
constexpr absl::Duration kDialTimeout = absl::Seconds(2);

// Descriptors that the server needs beside its connections and those that are open once its model
// is loaded: a dozen of gRPC, HTTP and the listeners; both ends of the connections of four probes
// and of the port's own watch; files that are read again.
constexpr int64_t kDescriptorsForServer = 28;
// Connections, however many descriptors there are. An idle one takes gRPC about 20 KiB.
constexpr int64_t kMostConnections = 4096;
// Connections to the HTTP port, at most; of a small limit a quarter. An idle one takes a few KiB.
constexpr int64_t kMostHttpConnections = 1024;
constexpr int64_t kLeastConnections = 4;
// A connection that has had no call for so long may give way to a new one. Clients that keep one
// for later connect anew without an error.
constexpr absl::Duration kMinIdleConnection = absl::Seconds(5);
// The same while its handshake is not done. A good one takes two round trips.
constexpr absl::Duration kMinIdleHandshake = absl::Seconds(1);
// Streams of one connection that gRPC may hold memory for, for each that may be open: those that
// have just ended are cleaned up while new ones begin.
constexpr int64_t kStreamsPerOpenOne = 2;
// How long the address of a connection that was closed for what it sent has to wait for the next
// one. Without it the abuse would go on at the speed at which connections are made.
constexpr absl::Duration kTurnAwayAbusers = absl::Seconds(1);
// How long the first connection may take to show that the transport's guard is there.
constexpr absl::Duration kGuardPatience = absl::Seconds(2);

// What the limits of connections come out as.
struct ConnectionLimits {
  int64_t grpc;
  int64_t grpc_per_client;
  int64_t http;
  int64_t http_per_client;
};

ConnectionLimits ConnectionLimitsOf(const ServerOptions& options) {
  ConnectionLimits out{};
  const int64_t wanted = options.max_connections > 0 ? options.max_connections : kMostConnections;
  const int64_t free =
      std::max<int64_t>(0, FreeDescriptors(wanted + kMostHttpConnections + kDescriptorsForServer) -
                               kDescriptorsForServer);
  out.http = std::clamp(free / 4, kLeastConnections, kMostHttpConnections);
  // Connections that were told to give way keep their descriptors for a moment: an eighth.
  const int64_t for_grpc = (free - out.http) * 8 / 9;
  out.grpc = std::max(kLeastConnections, std::min(wanted, for_grpc));
  const auto of_one_client = [&](int64_t all) {
    return options.max_connections_per_client == 0
               ? 0
               : std::max<int64_t>(1, std::min(options.max_connections_per_client, all * 3 / 4));
  };
  out.grpc_per_client = of_one_client(out.grpc);
  out.http_per_client = of_one_client(out.http);
  return out;
}

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
      parts_{&options_, &model_.info, model_.tokenizer.get(), &lifecycle_, &clock_,
             &keys_,    &admission_,  &tokenizers_,           &pipeline_,  &scheduler_,
             &metrics_, log,          &drain_bell_,           &open_calls_},
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

// Each setting is a measured need of gRPC 1.51.
void Server::ConfigureBuilder(grpc::ServerBuilder* builder) const {
  // A compressed message is unpacked before its size limit applies: a small one could take all
  // memory.
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  // gRPC applies its limit once it has the whole message. The calls do the same, and count it
  // (RpcCall::NoteReceived); what is on its way is bounded by OpenCalls.
  builder->SetMaxReceiveMessageSize(-1);
  // A stream that nobody reads yet holds one window of 64 KiB. With its probes of bandwidth gRPC
  // would let each have 4 MiB and more. A read of a larger message opens the window by itself.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
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
}

absl::Status Server::Listen() {
  listening_ = AbsoluteAddress(ReadAddress(options_.listen).value());  // Validate has read it
  const auto cannot = [this](absl::string_view why) {
    return absl::UnavailableError(absl::StrCat("listen: cannot listen on ", options_.listen, ": ",
                                               why, "; choose another --listen"));
  };
  auto sockets = FindFreeSockets(listening_);
  if (!sockets.ok()) return cannot(sockets.status().message());
  ListenerOptions options;
  options.max_connections = options_.max_connections;
  options.max_per_client = options_.max_connections_per_client;
  // Behind an idle time of handshakes that is as short again as that of connections.
  options.min_idle = kMinIdleConnection;
  options.idle = [](int fd, absl::Duration age) {
    return transport_guard::Idle(fd).value_or(age * (kMinIdleConnection / kMinIdleHandshake));
  };
  options.on_refusal = [this](Refusal refusal, const std::string& client) {
    OnConnectionRefused("grpc", RefusalName(refusal), client);
  };
  auto listener = Listener::Listen(*sockets, std::move(options));
  if (!listener.ok()) return cannot(listener.status().message());  // taken since we looked
  listener_ = *std::move(listener);
  grpc::EnableDefaultHealthCheckService(false);
  grpc::ServerBuilder builder;
  ConfigureBuilder(&builder);
  auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, tls_.Credentials());
  builder.RegisterService(&service_);
  builder.RegisterService(&tei_service_);
  builder.RegisterService(&health_);
  if (options_.reflection) reflection_.RegisterWith(&builder);
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr) return cannot("gRPC does not start");
  if (listening_.has_port()) listening_.port = listener_->port();
  OpenPort(std::move(acceptor));
  self_sockets_ = SelfSockets(*std::move(sockets), listening_.port);
  return absl::OkStatus();
}

void Server::OpenPort(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor) {
  transport_guard::SetMaxStreams(kStreamsPerOpenOne * options_.max_concurrent_streams);
  transport_guard::SetObserver([this](Abuse abuse, int fd, const std::string& client) {
    listener_->TurnAway(fd, kTurnAwayAbusers);
    OnConnectionRefused("grpc", AbuseName(abuse), client);
  });
  listener_->Start([acceptor = std::shared_ptr(std::move(acceptor))](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    acceptor->HandleNewConnection(&connection);
  });
}

void Server::OnConnectionRefused(std::string_view port, std::string_view reason,
                                 const std::string& client) {
  metrics_.OnConnectionRefused(reason);
  const int64_t count = refusals_.Next(std::chrono::steady_clock::now());
  if (count == 0) return;
  log_->Write(LogLevel::kWarning, "connection_refused",
              {{"port", port}, {"reason", reason}, {"client", client}, {"count", count}});
}

HttpServerOptions Server::HttpOptionsOf(int64_t max_connections, int64_t max_per_client) {
  HttpServerOptions out;
  out.max_connections = max_connections;
  out.max_connections_per_client = max_per_client;
  out.max_receiving_bytes = options_.max_receiving_bytes;
  out.body_timeout = options_.default_deadline;
  if (options_.http_tls) {
    out.tls_identity = tls_.identity();
    out.tls_client_ca = tls_.client_ca();
  }
  out.cors_origins = options_.cors_origins;
  if (!options_.auth_keys_file.empty()) {
    out.check_key = [this](std::string_view authorization, std::string* name) {
      return keys_.Check(authorization, name);
    };
  }
  out.on_refusal = [this](Refusal refusal, const std::string& client) {
    OnConnectionRefused("http", RefusalName(refusal), client);
  };
  out.on_exchange = [this](const HttpReport& report) {
    metrics_.OnHttpRequest(report.route, report.code, report.time);
  };
  return out;
}

void Server::RenewHttpCertificates() {
  const absl::Status status = http_.SetCertificates(tls_.identity(), tls_.client_ca());
  if (!status.ok())
    log_->Write(LogLevel::kError, "http_certificates", {{"error", std::string(status.message())}});
}

absl::Status Server::ListenHttp(int64_t max_connections, int64_t max_per_client) {
  if (options_.http == "off") return absl::OkStatus();
  AddProbeRoutes(
      {.lifecycle = &lifecycle_,
       .ready = [this] { return health_.ready(); },
       .live = [this] { return health_.live(); },
       .dial = [this] { return DialGrpc(self_sockets_, !options_.tls_cert.empty(), kDialTimeout); },
       .metrics = [this] { return metrics_.Text(); }},
      &http_, options_.http_page_keys);
  AddRestRoutes(
      &parts_, [this] { return health_.ready(); }, &http_);
  metrics_.SetHttpRoutes(http_.routes());
  // Behind the line above: their dozen files are the route "other".
  AddDocsRoutes(&http_);
  if (options_.page) AddPageRoutes(&http_, options_.http_page_keys);
  if (absl::Status status =
          http_.Start(options_.http, HttpOptionsOf(max_connections, max_per_client));
      !status.ok())
    return status;
  // The files are looked at from StartWatching on.
  if (options_.http_tls) tls_.SetObserver([this] { RenewHttpCertificates(); });
  return absl::OkStatus();
}

// The first connection is the server's own. It shows that the port answers, and whether gRPC reads
// it through the guard.
void Server::ReportConnections() {
  const absl::Status dialled =
      DialGrpc(self_sockets_, !options_.tls_cert.empty(), PortWatch::kPatience);
  const absl::Time until = clock_.Now() + kGuardPatience;
  while (transport_guard::transports() == 0 && clock_.Now() < until)
    absl::SleepFor(absl::Milliseconds(1));
  const bool guarded = transport_guard::Supported() && transport_guard::transports() > 0;
  log_->Write(LogLevel::kInfo, "connections",
              {{"max_connections", options_.max_connections},
               {"max_connections_per_client", options_.max_connections_per_client}});
  if (!guarded) {
    log_->Write(LogLevel::kError, "transport_unguarded",
                {{"grpc", grpc::Version()},
                 {"error",
                  "this gRPC does not read through the server's guard: endless headers "
                  "and floods of resets reach it; put a proxy in front"}});
  }
  if (!dialled.ok())
    log_->Write(LogLevel::kError, "port_silent", {{"error", std::string(dialled.message())}});
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

void Server::OnPortState(PortState state, const absl::Status& last) {
  static constexpr const char* kEvents[] = {"port_answers_again", "port_silent", "port_dead"};
  log_->Write(state == PortState::kAnswers ? LogLevel::kWarning : LogLevel::kError,
              kEvents[static_cast<int>(state)], {{"error", std::string(last.message())}});
  port_good_ = state == PortState::kAnswers;
  SetLive();
  if (state == PortState::kDead) GiveUp();
}

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
