// HttpServer: a small HTTP/1.1 server over civetweb: routes to functions, nothing else. Metrics and
// probes live on it. A handler runs on one of a few threads of its own, so it may wait a little
// (the probe that dials the gRPC port does).
//
// Thread safety: AddRoute before Start; the rest from any thread. The destructor stops and joins.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct mg_context;
struct mg_connection;

namespace longspan {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;
  std::string query;
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

  explicit HttpServer(int64_t max_body_bytes = 1 << 20) : max_body_bytes_(max_body_bytes) {}
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void AddRoute(const std::string& method, const std::string& path, Handler handler);
  // Listens on HOST:PORT (port 0 picks a free one). UNAVAILABLE in one line where that does not
  // work.
  absl::Status Start(const std::string& address);
  void Stop();
  int port() const { return port_; }

 private:
  static int OnRequest(mg_connection* connection, void* self);
  HttpResponse Answer(mg_connection* connection) const;
  absl::StatusOr<HttpRequest> ReadRequest(mg_connection* connection) const;

  const int64_t max_body_bytes_;
  std::map<std::string, std::map<std::string, Handler>> routes_;  // path, then method
  mg_context* context_ = nullptr;
  int port_ = 0;
};

}  // namespace longspan
