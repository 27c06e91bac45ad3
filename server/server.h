// Server: owns the parts in construction order and takes them through their life:
//   Create   builds the engine and listens; health says NOT_SERVING. A start that cannot work fails
//            here, in one line.
//   Start    warms the model up, then health says SERVING
//   Drain    health says NOT_SERVING at once; the server still answers for drain_delay, then
//            refuses new work and finishes what was accepted
//   ~Server  drops what is left and joins all threads
//
// While it serves, certificates and keys are looked at once a second, and at once after Reload.
//
// A lost device, a dead worker or a gRPC port that no longer answers ends the server early: health
// says NOT_SERVING, running texts are answered INTERNAL, waiting ones UNAVAILABLE. Then `on_lost`
// is called, because the process can only end.
//
// Thread safety: Create, Start, Drain and destruction from one thread; Reload and the getters from
// any.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/batching/admission.h"
#include "server/batching/batch_scheduler.h"
#include "server/batching/clock.h"
#include "server/batching/online_cost_model.h"
#include "server/collections/collections.h"
#include "server/engine/encode_pipeline.h"
#include "server/engine/encoder_worker.h"
#include "server/engine/heap_trimmer.h"
#include "server/engine/idle_trimmer.h"
#include "server/engine/periodic.h"
#include "server/engine/queue_reaper.h"
#include "server/engine/tokenizer_pool.h"
#include "server/engine/watchdog.h"
#include "server/http/http_server.h"
#include "server/lifecycle.h"
#include "server/net/listen_address.h"
#include "server/net/listener.h"
#include "server/net/refusal_log.h"
#include "server/rpc/drain_bell.h"
#include "server/rpc/encode_service.h"
#include "server/rpc/file_reloader.h"
#include "server/rpc/health_service.h"
#include "server/rpc/key_ring.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/port_watch.h"
#include "server/rpc/reflection.h"
#include "server/rpc/service_parts.h"
#include "server/rpc/tls_files.h"
#include "server/server_options.h"
#include "server/start/served_model.h"
#include "server/tei/tei_service.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace longspan {

// Whether the files of certificates and keys can be used, as Create finds out once more. So a start
// that cannot work need not load a model first.
absl::Status CheckFiles(const ServerOptions& options);

class Server {
 public:
  // `log` must outlive the server. `on_lost` is called once, on a thread of the server; a hung
  // worker cannot be joined, so it must not destroy the server but end the process.
  static absl::StatusOr<std::unique_ptr<Server>> Create(ServerOptions options, ServedModel model,
                                                        Log* log,
                                                        std::function<void()> on_lost = {});
  ~Server();

  absl::Status Start();
  // True = everything that was accepted has been answered and its answer taken; false =
  // drain_limit passed first.
  bool Drain();
  // The next look at certificates and keys, within a second, takes what stands still for two reads
  // in a row. Returns at once; the log tells the outcome.
  void Reload() { reloader_.ReloadAtOnce(); }

  int grpc_port() const { return listening_.port; }  // 0 where gRPC listens on a Unix socket
  int http_port() const { return http_.port(); }     // 0 where HTTP is off
  // The target name that a client of this machine dials: "127.0.0.1:50051", "unix:/run/x.sock".
  std::string grpc_address() const { return AddressText(listening_); }
  const ModelInfo& model_info() const { return model_.info; }

 private:
  Server(ServerOptions options, ServedModel model, Log* log, std::function<void()> on_lost);
  absl::Status OpenCollections();
  // What the collections have to tell an operator.
  void LogCollections(const std::vector<std::string>& lines) const;
  absl::Status Listen();
  absl::Status ListenHttp(int64_t max_connections, int64_t max_per_client);
  HttpServerOptions HttpOptionsOf(int64_t max_connections, int64_t max_per_client);
  // The HTTP port takes the certificates in force.
  void RenewHttpCertificates();
  // Logs the limits of connections in force, and whether the transport is guarded.
  void ReportConnections();
  void StartWorkers();
  void StartWatching();
  void OnWorkerState(WorkerState state);
  // What the device said as a worker lost it; empty = none has.
  std::string DeviceError() const;
  void OnPortState(PortState state, const absl::Status& last);
  // Liveness: no worker hangs, and the port answers.
  void SetLive();
  // Counts a connection that was turned away or closed, and logs some of them.
  void OnConnectionRefused(std::string_view port, std::string_view reason,
                           const std::string& client);
  void GiveUp();
  // Hands what the gRPC listener accepts to gRPC, and checks that it gets through.
  void OpenPort(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor);
  void ConfigureBuilder(grpc::ServerBuilder* builder) const;
  ServerGauges ReadGauges() const;
  CollectionGauges ReadCollections() const;
  // What the heap holds beyond what is accounted for: messages that are on their way.
  int64_t ReceivedBytes() const;
  void OnDropped(const OpenCalls::Dropped& dropped);

  const ServerOptions options_;
  ServedModel model_;
  Log* const log_;
  const std::function<void()> on_lost_;
  SteadyClock clock_;
  Lifecycle lifecycle_;
  TlsFiles tls_;
  KeyRing keys_;
  Metrics metrics_;
  OnlineCostModel cost_;
  BatchObservers observers_;
  OpenCalls open_calls_;
  HealthService health_;
  ReflectionServices reflection_;
  std::unique_ptr<Collections> collections_;  // null = no documents are kept
  Admission admission_;
  BatchScheduler scheduler_;
  TokenizerPool tokenizers_;
  EncodePipeline pipeline_;
  DrainBell drain_bell_;
  ServiceParts parts_;
  EncodeService service_;
  TeiService tei_service_;
  std::vector<std::unique_ptr<EncoderWorker>> workers_;
  std::unique_ptr<QueueReaper> reaper_;
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<IdleTrimmer> trimmer_;
  std::unique_ptr<HeapTrimmer> heap_trimmer_;
  // Calls Watchdog::Look, IdleTrimmer::Look and HeapTrimmer::Look once a second.
  std::unique_ptr<Periodic> every_second_;
  std::unique_ptr<Periodic> tending_collections_;  // calls Collections::Maintain
  std::unique_ptr<Periodic> watching_calls_;       // calls OpenCalls::Look
  int64_t heap_at_rest_ = 0;                       // set before watching_calls_ starts
  std::atomic<bool> workers_good_{true};
  std::atomic<bool> port_good_{true};
  std::once_flag gave_up_;
  RefusalLog refusals_;
  std::unique_ptr<PortWatch> port_watch_;
  std::unique_ptr<Periodic> port_period_;
  FileReloader reloader_{&tls_, &keys_, &clock_, log_};
  HttpServer http_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<Listener> listener_;       // hands connections to grpc_
  Address listening_;                        // where gRPC listens, with the port that it has
  std::vector<SocketAddress> self_sockets_;  // where /healthz finds it
};

}  // namespace longspan
