// HttpServer: a small HTTP/1.1 server over libmicrohttpd that maps routes to functions. Metrics and
// probes are served by it.
//
// One thread reads and writes all connections, as their bytes come and go, so a peer that is slow
// holds a descriptor and no thread. Handlers run on four threads of their own, so a handler may
// wait a little, as the probe that dials the gRPC port does. Each connection carries one request
// and ends. There are at most `max_connections`; a further one takes the place of the oldest, which
// a peer that sends its request at once never is. No connection becomes older than ten seconds.
//
// Thread safety: AddRoute before Start; the other methods from any thread. The destructor stops the
// server and joins its threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/net/listener.h"

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

struct HttpServerOptions {
  // A request with a larger body is answered with 413. The default, 1 MiB, is far beyond what a
  // probe or a scrape sends.
  int64_t max_body_bytes = 1 << 20;
  int64_t max_connections = 256;  // open at once; at least 1
  // Hears of every connection that is closed unanswered; see ListenerOptions.
  std::function<void(Refusal, const std::string& client)> on_refusal = [](Refusal,
                                                                          const std::string&) {};
};

class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  HttpServer();
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // A route for GET answers HEAD, too.
  void AddRoute(const std::string& method, const std::string& path, Handler handler);
  // Listens on HOST:PORT, where HOST is a name or an IPv4 address; port 0 picks a free one. A name
  // stands for the first of its IPv4 addresses. INVALID_ARGUMENT for another form, UNAVAILABLE
  // where the address cannot be listened on, both in one line.
  absl::Status Start(const std::string& address, HttpServerOptions options = {});
  void Stop();
  int port() const { return port_; }  // 0 before Start
  int64_t connections() const { return listener_ == nullptr ? 0 : listener_->connections(); }

 private:
  class Loop;

  HttpResponse Answer(const HttpRequest& request) const;

  std::map<std::string, std::map<std::string, Handler>> routes_;  // path, then method
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Listener> listener_;
  int port_ = 0;
};

}  // namespace longspan
