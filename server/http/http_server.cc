#include "server/http/http_server.h"

#include <civetweb.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// Threads that answer. Scrapes and probes are few; one that waits for the gRPC port leaves three.
constexpr char kNumThreads[] = "4";
// How long a peer may take over its request. Without a bound, four slow ones would hold all
// threads.
constexpr char kRequestTimeoutMs[] = "10000";

const char* ReasonOfCode(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 429:
      return "Too Many Requests";
    case 503:
      return "Service Unavailable";
    default:
      return code < 400 ? "OK" : code < 500 ? "Bad Request" : "Internal Server Error";
  }
}

void Send(mg_connection* connection, const HttpResponse& response, bool head_only) {
  std::string message =
      absl::StrCat("HTTP/1.1 ", response.code, " ", ReasonOfCode(response.code),
                   "\r\nContent-Type: ", response.content_type,
                   "\r\nContent-Length: ", response.body.size(), "\r\nConnection: close\r\n");
  for (const auto& [name, value] : response.headers)
    absl::StrAppend(&message, name, ": ", value, "\r\n");
  message += "\r\n";
  if (!head_only) message += response.body;
  mg_write(connection, message.data(), message.size());
}

// How long Stop waits for each connection to its own listener.
constexpr absl::Duration kKnockTimeout = absl::Seconds(1);

// civetweb's library, started with the first server and ended with the process.
class Library {
 public:
  Library() { mg_init_library(0); }
  ~Library() { mg_exit_library(); }
};

}  // namespace

HttpServer::~HttpServer() { Stop(); }

void HttpServer::AddRoute(const std::string& method, const std::string& path, Handler handler) {
  routes_[path][method] = std::move(handler);
}

absl::Status HttpServer::Start(const std::string& address) {
  static Library library;
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
  // For "all addresses" one socket of IPv6 would do for gRPC; civetweb takes IPv4 callers.
  const auto four = std::find_if(sockets->begin(), sockets->end(), [](const SocketAddress& socket) {
    return socket.storage.ss_family == AF_INET;
  });
  const bool any = IsWildcard(*wanted);
  if (!any && four == sockets->end()) return cannot("the name has no IPv4 address");
  const std::string listen_on =
      any ? AddressText(*wanted) : TargetOf(*four).substr(sizeof("ipv4:") - 1);
  // clang-format off
  const char* options[] = {"listening_ports", listen_on.c_str(),
                           "num_threads", kNumThreads,
                           "request_timeout_ms", kRequestTimeoutMs,
                           "enable_keep_alive", "no",
                           nullptr};
  // clang-format on
  mg_callbacks callbacks{};
  // civetweb would print its own lines; the caller gets one line from us instead.
  callbacks.log_message = [](const mg_connection*, const char*) { return 1; };
  context_ = mg_start(&callbacks, this, options);
  if (context_ == nullptr) return cannot("in use, or not an address of this machine");
  mg_server_port ports[4] = {};
  if (mg_get_server_ports(context_, 4, ports) > 0) port_ = ports[0].port;
  self_ = SelfSockets({any ? sockets->front() : *four}, port_).front();
  mg_set_request_handler(context_, "/", &HttpServer::OnRequest, this);
  return absl::OkStatus();
}

// civetweb's listener looks for its end every two seconds, and whenever somebody connects. So a
// thread of ours connects until it has seen it.
void HttpServer::Stop() {
  if (context_ == nullptr) return;
  std::atomic<bool> stopped{false};
  std::thread caller([&] {
    while (!stopped) {
      if (const auto fd = ConnectTo(self_, kKnockTimeout); fd.ok()) close(*fd);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  mg_stop(context_);
  stopped = true;
  caller.join();
  context_ = nullptr;
}

int HttpServer::OnRequest(mg_connection* connection, void* self) {
  const HttpResponse response = static_cast<HttpServer*>(self)->Answer(connection);
  Send(connection, response,
       absl::string_view(mg_get_request_info(connection)->request_method) == "HEAD");
  return response.code;
}

HttpResponse HttpServer::Answer(mg_connection* connection) const {
  const auto request = ReadRequest(connection);
  if (!request.ok()) return {.code = 413, .body = std::string(request.status().message()) + "\n"};
  const auto route = routes_.find(request->path);
  if (route == routes_.end()) return {.code = 404, .body = "no such page\n"};
  const auto handler = route->second.find(request->method == "HEAD" ? "GET" : request->method);
  if (handler == route->second.end()) return {.code = 405, .body = "method not allowed\n"};
  return handler->second(*request);
}

absl::StatusOr<HttpRequest> HttpServer::ReadRequest(mg_connection* connection) const {
  const mg_request_info* from = mg_get_request_info(connection);
  HttpRequest request{.method = from->request_method,
                      .path = from->local_uri,
                      .query = from->query_string ? from->query_string : ""};
  for (int i = 0; i < from->num_headers; ++i) {
    request.headers[absl::AsciiStrToLower(from->http_headers[i].name)] =
        from->http_headers[i].value;
  }
  if (from->content_length > max_body_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat("the body has ", from->content_length,
                                                     " bytes; allowed: at most ", max_body_bytes_));
  }
  char buffer[16 << 10];  // read at once; a larger body takes several reads
  while (true) {
    const int count = mg_read(connection, buffer, sizeof(buffer));
    if (count <= 0) return request;
    request.body.append(buffer, count);
    if (static_cast<int64_t>(request.body.size()) > max_body_bytes_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the body has more than ", max_body_bytes_, " bytes"));
    }
  }
}

}  // namespace longspan
