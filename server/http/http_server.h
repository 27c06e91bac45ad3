// HttpServer: a small HTTP/1.1 server over civetweb that maps routes to functions. Metrics and
// probes are served by it. Handlers run on the four threads of the HTTP server, so a handler may
// wait a little, as the probe that dials the gRPC port does.
//
// Thread safety: AddRoute before Start; the other methods from any thread. The destructor stops the
// server and joins its threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/listen_address.h"

struct mg_context;
struct mg_connection;

namespace longspan {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // "/metrics"
  std::string query;   // behind the question mark, without it
  std::string body;
  std::map<std::string, std::string> headers;  // names in lower case
};

struct HttpResponse {
  int code = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::map<std::string, std::string> headers;
};

class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  // A request with a larger body is answered with 413. The default, 1 MiB, is far beyond what a
  // probe or a scrape sends.
  explicit HttpServer(int64_t max_body_bytes = 1 << 20) : max_body_bytes_(max_body_bytes) {}
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // A route for GET answers HEAD, too.
  void AddRoute(const std::string& method, const std::string& path, Handler handler);
  // Listens on HOST:PORT, where HOST is a name or an IPv4 address; port 0 picks a free one. A name
  // stands for the first of its IPv4 addresses. INVALID_ARGUMENT for another form, UNAVAILABLE
  // where the address cannot be listened on, both in one line.
  absl::Status Start(const std::string& address);
  void Stop();
  int port() const { return port_; }  // 0 before Start

 private:
  static int OnRequest(mg_connection* connection, void* self);
  HttpResponse Answer(mg_connection* connection) const;
  absl::StatusOr<HttpRequest> ReadRequest(mg_connection* connection) const;

  const int64_t max_body_bytes_;
  std::map<std::string, std::map<std::string, Handler>> routes_;  // path, then method
  mg_context* context_ = nullptr;
  SocketAddress self_;  // where this server answers callers of its own machine
  int port_ = 0;
};

}  // namespace longspan
