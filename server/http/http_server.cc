#include "server/http/http_server.h"

#include <microhttpd.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace longspan {
namespace {

// Threads that run handlers. Scrapes and probes are few; one that waits for the gRPC port leaves
// three.
constexpr int kNumThreads = 4;
// Requests that wait for such a thread. Beyond it 503 at once.
constexpr size_t kMaxWaiting = 64;
// How long a connection may last, from its first byte to the last one of the answer. A peer that
// sends its request one byte a second gets this long, too.
constexpr absl::Duration kMaxAge = absl::Seconds(10);
// How long a peer may send or take nothing.
constexpr unsigned kSilenceSeconds = 5;
// Memory of one connection for its request line, headers, and the block of the body being read.
constexpr size_t kConnectionBytes = 32 << 10;

// One request, from its first line to the end of its answer.
struct Exchange {
  MHD_Connection* connection = nullptr;
  HttpRequest request;
  bool too_large = false;
  bool asked = false;     // handed to a thread, or answered without one
  HttpResponse response;  // once `asked` and resumed
};

MHD_Result AddHeader(void* request, MHD_ValueKind, const char* name, const char* value) {
  static_cast<HttpRequest*>(request)->headers[absl::AsciiStrToLower(name)] =
      value == nullptr ? "" : value;
  return MHD_YES;
}

MHD_Result AddToQuery(void* query, MHD_ValueKind, const char* name, const char* value) {
  auto* text = static_cast<std::string*>(query);
  absl::StrAppend(text, text->empty() ? "" : "&", name, value == nullptr ? "" : "=",
                  value == nullptr ? "" : value);
  return MHD_YES;
}

MHD_Result Queue(const HttpResponse& response, MHD_Connection* connection) {
  MHD_Response* const message = MHD_create_response_from_buffer(
      response.body.size(), const_cast<char*>(response.body.data()), MHD_RESPMEM_MUST_COPY);
  if (message == nullptr) return MHD_NO;  // no memory: the connection is closed
  MHD_add_response_header(message, MHD_HTTP_HEADER_CONTENT_TYPE, response.content_type.c_str());
  MHD_add_response_header(message, MHD_HTTP_HEADER_CONNECTION, "close");
  for (const auto& [name, value] : response.headers)
    MHD_add_response_header(message, name.c_str(), value.c_str());
  const MHD_Result queued =
      MHD_queue_response(connection, static_cast<unsigned>(response.code), message);
  MHD_destroy_response(message);
  return queued;
}

}  // namespace

// The library's daemon, which has one thread, and the threads of the handlers.
class HttpServer::Loop {
 public:
  Loop(std::function<HttpResponse(const HttpRequest&)> answer, int64_t max_body_bytes)
      : answer_(std::move(answer)), max_body_bytes_(max_body_bytes) {}
  ~Loop() {
    if (daemon_ == nullptr) return;
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    // They answer what waits; no connection may be suspended when the daemon ends.
    for (std::thread& thread : threads_) thread.join();
    MHD_stop_daemon(daemon_);
  }

  bool Start(int64_t max_connections) {
    // More than the listener lets in: those that it has just closed are still the library's.
    const auto most = static_cast<unsigned>(2 * max_connections + 16);
    daemon_ = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET |
                                   MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME,
                               0, nullptr, nullptr, &Loop::OnData, this, MHD_OPTION_EXTERNAL_LOGGER,
                               &Loop::Drop, nullptr, MHD_OPTION_CONNECTION_LIMIT, most,
                               MHD_OPTION_CONNECTION_TIMEOUT, kSilenceSeconds,
                               MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytes,
                               MHD_OPTION_NOTIFY_COMPLETED, &Loop::OnEnd, this, MHD_OPTION_END);
    if (daemon_ == nullptr) return false;
    for (int i = 0; i < kNumThreads; ++i) threads_.emplace_back([this] { Work(); });
    return true;
  }

  void Take(int fd) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
      close(fd);
      return;
    }
    // Closes the socket where it does not take it.
    (void)MHD_add_connection(daemon_, fd, reinterpret_cast<const sockaddr*>(&peer), size);
  }

 private:
  // libmicrohttpd would print its own lines.
  static void Drop(void*, const char*, va_list) {}

  // Called with the headers, with each block of the body, at its end, and once more when the answer
  // is there.
  static MHD_Result OnData(void* self, MHD_Connection* connection, const char* url,
                           const char* method, const char*, const char* data, size_t* bytes,
                           void** context) {
    auto* const loop = static_cast<Loop*>(self);
    auto* exchange = static_cast<Exchange*>(*context);
    if (exchange == nullptr) {
      *context = exchange = new Exchange;  // OnEnd deletes it
      exchange->connection = connection;
      exchange->request.method = method;
      exchange->request.path = url;
      MHD_get_connection_values(connection, MHD_HEADER_KIND, &AddHeader, &exchange->request);
      MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, &AddToQuery,
                                &exchange->request.query);
      const auto length = exchange->request.headers.find("content-length");
      uint64_t announced = 0;
      if (length != exchange->request.headers.end() &&
          absl::SimpleAtoi(length->second, &announced) &&
          announced > static_cast<uint64_t>(loop->max_body_bytes_)) {
        exchange->asked = true;
        return Queue(loop->TooLarge(), connection);  // the body is not read
      }
      return MHD_YES;
    }
    if (*bytes > 0) {
      exchange->too_large =
          exchange->too_large ||
          static_cast<int64_t>(exchange->request.body.size() + *bytes) > loop->max_body_bytes_;
      if (!exchange->too_large) exchange->request.body.append(data, *bytes);
      *bytes = 0;
      return MHD_YES;
    }
    if (exchange->asked) return Queue(exchange->response, connection);
    exchange->asked = true;
    if (exchange->too_large) return Queue(loop->TooLarge(), connection);
    MHD_suspend_connection(connection);
    if (loop->Enqueue(exchange)) return MHD_YES;
    exchange->response = {.code = 503, .body = "too many requests wait\n"};
    MHD_resume_connection(connection);
    return MHD_YES;
  }

  static void OnEnd(void*, MHD_Connection*, void** context, MHD_RequestTerminationCode) {
    delete static_cast<Exchange*>(*context);
    *context = nullptr;
  }

  HttpResponse TooLarge() const {
    return {.code = 413,
            .body = absl::StrCat("the body has more than ", max_body_bytes_, " bytes\n")};
  }

  bool Enqueue(Exchange* exchange) {
    absl::MutexLock lock(&mu_);
    if (stopping_ || waiting_.size() >= kMaxWaiting) return false;
    waiting_.push_back(exchange);
    return true;
  }

  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !waiting_.empty(); }

  void Work() {
    while (true) {
      Exchange* exchange = nullptr;
      {
        absl::MutexLock lock(&mu_);
        mu_.Await(absl::Condition(this, &Loop::HasWork));
        if (waiting_.empty()) return;
        exchange = waiting_.front();
        waiting_.pop_front();
      }
      // A suspended connection is not ended by the library, so the exchange lives.
      exchange->response = answer_(exchange->request);
      MHD_resume_connection(exchange->connection);
    }
  }

  const std::function<HttpResponse(const HttpRequest&)> answer_;
  const int64_t max_body_bytes_;
  MHD_Daemon* daemon_ = nullptr;
  absl::Mutex mu_;
  std::deque<Exchange*> waiting_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

HttpServer::HttpServer() = default;
HttpServer::~HttpServer() { Stop(); }

void HttpServer::AddRoute(const std::string& method, const std::string& path, Handler handler) {
  routes_[path][method] = std::move(handler);
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
  auto listener = Listener::Listen({*one}, {.max_connections = options.max_connections,
                                            .max_age = kMaxAge,
                                            .on_refusal = options.on_refusal});
  if (!listener.ok()) return cannot(listener.status().message());
  auto loop = std::make_unique<Loop>([this](const HttpRequest& request) { return Answer(request); },
                                     options.max_body_bytes);
  if (!loop->Start(options.max_connections)) return cannot("libmicrohttpd does not start");
  loop_ = std::move(loop);
  listener_ = *std::move(listener);
  port_ = listener_->port();
  listener_->Start([this](int fd) { loop_->Take(fd); });
  return absl::OkStatus();
}

void HttpServer::Stop() {
  if (listener_ != nullptr) listener_->Stop();
  loop_.reset();
}

HttpResponse HttpServer::Answer(const HttpRequest& request) const {
  const auto route = routes_.find(request.path);
  if (route == routes_.end()) return {.code = 404, .body = "no such page\n"};
  const auto handler = route->second.find(request.method == "HEAD" ? "GET" : request.method);
  if (handler == route->second.end()) return {.code = 405, .body = "method not allowed\n"};
  return handler->second(request);
}

}  // namespace longspan
