#include "server/http/http_server.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "server/http/event_loop.h"
#include "server/http/handler_pool.h"
#include "server/http/http_connection.h"
#include "server/http/transport.h"
#include "server/net/listen_address.h"
#include "server/net/listener.h"

namespace longspan {
namespace {

// Read from one connection at once.
constexpr size_t kScratchBytes = 64 << 10;
// A connection in use never gives way to a new one.
constexpr absl::Duration kMinIdle = absl::Nanoseconds(1);

}  // namespace

// The running server: the loop, its connections, the threads of the handlers, the listener.
class HttpServer::Loop {
 public:
  Loop(const HttpRouter* router, HttpServerOptions options)
      : pages_(std::make_unique<HandlerPool>(options.page_threads, options.max_waiting_pages)),
        // Each waits for a request of its own connection, so their number is bounded.
        api_(std::make_unique<HandlerPool>(options.api_threads, SIZE_MAX)) {
    context_.budget = std::make_shared<BodyBudget>(options.max_receiving_bytes);
    context_.options = std::move(options);
    context_.router = router;
    context_.loop = std::make_shared<EventLoop>();
    context_.pages = pages_.get();
    context_.api = api_.get();
    context_.scratch.resize(kScratchBytes);
    context_.on_closed = [this](HttpConnection* connection) { Remove(connection); };
  }

  absl::Status Start(const SocketAddress& address) {
    if (!context_.options.tls_identity.empty()) {
      auto tls = MakeTlsContext(context_.options.tls_identity, context_.options.tls_client_ca);
      if (!tls.ok()) return tls.status();
      context_.tls = *std::move(tls);
    }
    auto listener = Listener::Listen(
        {address}, {.max_connections = context_.options.max_connections,
                    .max_per_client = context_.options.max_connections_per_client,
                    .idle = [this](int fd, absl::Duration age) { return IdleTime(fd, age); },
                    .min_idle = kMinIdle,
                    .on_refusal = context_.options.on_refusal});
    if (!listener.ok()) return listener.status();
    if (absl::Status status = context_.loop->Start(); !status.ok()) return status;
    listener_ = *std::move(listener);
    listener_->Start([this](int fd) {
      EventLoop::Task task = [this, fd] { Accept(fd); };
      if (!context_.loop->Post(std::move(task))) close(fd);
    });
    return absl::OkStatus();
  }

  absl::Status SetCertificates(const std::string& identity, const std::string& client_ca) {
    auto tls = MakeTlsContext(identity, client_ca);
    if (!tls.ok()) return tls.status();
    context_.loop->Post([this, tls = *std::move(tls)] { context_.tls = tls; });
    return absl::OkStatus();
  }

  void Drain() { context_.draining = true; }
  bool AwaitAnswered(absl::Duration limit) { return context_.accepted.AwaitNone(limit); }

  void Stop() {
    if (pages_ == nullptr) return;
    Drain();
    if (listener_ != nullptr) listener_->Stop();
    context_.loop->Post([this] { EndConnections(/*at_once=*/false); });
    AwaitAnswered(context_.options.stop_limit);
    // A handler that waits is waited for: it uses what its owner is about to destroy.
    pages_.reset();
    api_.reset();
    // Behind the last answers. The loop must not end before: exchanges find their connection by a
    // task, and on another thread once the loop has ended.
    absl::Notification closed;
    EventLoop::Task close_all = [this, &closed] {
      EndConnections(/*at_once=*/true);
      closed.Notify();
    };
    if (context_.loop->Post(std::move(close_all))) closed.WaitForNotification();
    context_.loop->Stop();
  }

  int port() const { return listener_ == nullptr ? 0 : listener_->port(); }
  int64_t connections() const { return listener_ == nullptr ? 0 : listener_->connections(); }
  int64_t body_bytes() const { return context_.budget->used(); }

 private:
  using IdleSince = std::shared_ptr<const std::atomic<int64_t>>;

  void Accept(int fd) {
    if (ended_) {
      close(fd);
      return;
    }
    const auto connection = std::make_shared<HttpConnection>(fd, &context_);
    {
      absl::MutexLock lock(&mu_);
      idle_[fd] = connection->idle_since();
    }
    connections_[fd] = connection;
    connection->Begin();
  }

  void Remove(HttpConnection* connection) {
    {
      absl::MutexLock lock(&mu_);
      idle_.erase(connection->fd());
    }
    connections_.erase(connection->fd());
  }

  void EndConnections(bool at_once) {
    ended_ = true;
    std::vector<std::shared_ptr<HttpConnection>> open;
    open.reserve(connections_.size());
    for (const auto& [fd, connection] : connections_) open.push_back(connection);
    for (const auto& connection : open) at_once ? connection->Close() : connection->EndSoon();
  }

  // For the listener, on its thread.
  absl::Duration IdleTime(int fd, absl::Duration age) {
    absl::MutexLock lock(&mu_);
    const auto found = idle_.find(fd);
    if (found == idle_.end()) return age;  // the loop has not seen it yet
    const int64_t since = found->second->load(std::memory_order_relaxed);
    const int64_t now =
        std::chrono::nanoseconds(EventLoop::Clock::now().time_since_epoch()).count();
    return absl::Nanoseconds(since == HttpConnection::kInUse ? 0
                                                             : std::max<int64_t>(0, now - since));
  }

  std::unique_ptr<HandlerPool> pages_;
  std::unique_ptr<HandlerPool> api_;
  HttpContext context_;
  // Of the loop's thread.
  std::unordered_map<int, std::shared_ptr<HttpConnection>> connections_;  // by descriptor
  bool ended_ = false;

  absl::Mutex mu_;
  std::unordered_map<int, IdleSince> idle_ ABSL_GUARDED_BY(mu_);  // by descriptor
  std::unique_ptr<Listener> listener_;
};

HttpServer::HttpServer() = default;
HttpServer::~HttpServer() { Stop(); }

void HttpServer::AddRoute(const std::string& method, const std::string& path, HttpHandler handler,
                          RouteOptions options) {
  router_.Add(method, {.path = path, .handler = std::move(handler), .options = options});
}

void HttpServer::AddAsyncRoute(const std::string& method, const std::string& path,
                               RouteOptions options, HttpAsyncHandler handler) {
  router_.Add(method, {.path = path, .handler = std::move(handler), .options = options});
}

absl::Status HttpServer::Start(const std::string& address, HttpServerOptions options) {
  const auto wanted = ReadAddress(address);
  if (!wanted.has_value() || !wanted->has_port() || wanted->kind == Address::Kind::kIpv6)
    return absl::InvalidArgumentError(
        absl::StrCat("http is '", address, "'; allowed: HOST:PORT or off"));
  const auto cannot = [&](absl::string_view why) {
    return absl::UnavailableError(absl::StrCat("http: cannot listen on ", address, ": ", why,
                                               "; choose another --http, or --http off"));
  };
  const auto sockets = FindFreeSockets(*wanted);
  if (!sockets.ok()) return cannot(sockets.status().message());
  // A name stands for its first IPv4 address; "all addresses" for those of both kinds.
  const auto one = IsWildcard(*wanted)
                       ? sockets->begin()
                       : std::find_if(sockets->begin(), sockets->end(), [](const auto& socket) {
                           return socket.storage.ss_family == AF_INET;
                         });
  if (one == sockets->end()) return cannot("the name has no IPv4 address");
  router_.SetOrigins(options.cors_origins);
  router_.SetCheckKey(options.check_key);
  auto loop = std::make_unique<Loop>(&router_, std::move(options));
  absl::Status started = loop->Start(*one);
  if (absl::IsInvalidArgument(started)) return started;
  if (!started.ok()) return cannot(started.message());
  loop_ = std::move(loop);
  return absl::OkStatus();
}

absl::Status HttpServer::SetCertificates(const std::string& tls_identity,
                                         const std::string& tls_client_ca) {
  return loop_ == nullptr ? absl::OkStatus() : loop_->SetCertificates(tls_identity, tls_client_ca);
}

void HttpServer::Drain() {
  if (loop_ != nullptr) loop_->Drain();
}

bool HttpServer::AwaitAnswered(absl::Duration limit) {
  return loop_ == nullptr || loop_->AwaitAnswered(limit);
}

void HttpServer::Stop() {
  if (loop_ != nullptr) loop_->Stop();
}

int HttpServer::port() const { return loop_ == nullptr ? 0 : loop_->port(); }
int64_t HttpServer::body_bytes() const { return loop_ == nullptr ? 0 : loop_->body_bytes(); }

int64_t HttpServer::connections() const { return loop_ == nullptr ? 0 : loop_->connections(); }

}  // namespace longspan
