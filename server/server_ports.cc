// The two ports of the Server: listening, what connections may cost, and whether the ports answer.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/http/probes.h"
#include "server/page/page.h"
#include "server/rest/docs_page.h"
#include "server/rest/rest_routes.h"
#include "server/rpc/grpc_dial.h"
#include "server/rpc/metadata_limit.h"
#include "server/rpc/transport_guard.h"
#include "server/server.h"

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

// Pings of a caller that waits. 10 s is the smallest interval of grpc-go and the setting of many
// meshes, and half of it leaves room for timers that fire early. A network that stalls delivers
// pings in bunches, so a few may come too soon; the count begins anew with each answer. Pings
// without a pause still end their connection after a dozen.
constexpr int kMinPingIntervalMs = 5'000;
constexpr int kMaxEarlyPings = 10;

// How long /healthz waits for the gRPC port. A port that is well answers within milliseconds. What
// probes /healthz needs a timeout above this one.
constexpr absl::Duration kDialTimeout = absl::Seconds(2);

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

}  // namespace

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

void Server::OnPortState(PortState state, const absl::Status& last) {
  static constexpr const char* kEvents[] = {"port_answers_again", "port_silent", "port_dead"};
  log_->Write(state == PortState::kAnswers ? LogLevel::kWarning : LogLevel::kError,
              kEvents[static_cast<int>(state)], {{"error", std::string(last.message())}});
  port_good_ = state == PortState::kAnswers;
  SetLive();
  if (state == PortState::kDead) GiveUp();
}

}  // namespace longspan
