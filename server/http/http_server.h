// HttpServer: an HTTP/1.1 server that maps routes to functions. Metrics, probes and the JSON APIs
// are served by it.
//
// One thread (event_loop.h) reads and writes all connections as their bytes come and go, so a peer
// that is slow, or has nothing to ask, holds a descriptor and no thread. Handlers run on a few
// threads of their own. Connections are kept for further requests, which are answered in order.
// There are at most `max_connections`; a new one takes the place of the one that has been without
// use for longest. Every phase of a connection has its time (http_options.h).
//
// What it stands on: Boost.Asio for the thread's loop, sockets, timers and TLS (transport.h), and
// Boost.Beast for reading requests (request_reader.h), both 1.81, of which Debian 12 has the
// headers and which need no library at run time. They are driven by events, and their TLS is
// OpenSSL's, as gRPC's is: both ports share their files, and certificates change while the server
// runs. Of the others in Debian, libmicrohttpd 0.9.75 has TLS by GnuTLS alone and tells nobody that
// a peer has gone while a handler works; RESTinio 0.6.16 wraps another parser. What Beast reads and
// other readers of HTTP read in another way is refused by a screen in front (request_screen.h).
// What is ours: phases and their times, limits, routes, and exchanges that are answered later.
//
// Thread safety: AddRoute and AddAsyncRoute before Start; Start and Stop from one thread; the other
// methods from any. The destructor stops the server and joins its threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/http/http_exchange.h"
#include "server/http/http_message.h"
#include "server/http/http_options.h"
#include "server/http/http_router.h"

namespace longspan {

class HttpServer {
 public:
  HttpServer();
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // A route for GET answers HEAD, too. Paths are compared as a whole. The handler may wait a
  // little, as the probe that dials the gRPC port does: a few threads run them.
  void AddRoute(const std::string& method, const std::string& path, HttpHandler handler,
                RouteOptions options = {});
  // The handler must return soon; the answer may come later: http_exchange.h.
  void AddAsyncRoute(const std::string& method, const std::string& path, RouteOptions options,
                     HttpAsyncHandler handler);

  // The paths of all routes.
  std::vector<std::string> routes() const { return router_.Paths(); }

  // Listens on HOST:PORT, where HOST is a name or an IPv4 address; port 0 picks a free one. A name
  // stands for the first of its IPv4 addresses. INVALID_ARGUMENT for another form or for
  // certificates that cannot be used, UNAVAILABLE where the address cannot be listened on, all in
  // one line.
  absl::Status Start(const std::string& address, HttpServerOptions options = {});
  // For connections from now on, on a port that began with TLS. INVALID_ARGUMENT where they cannot
  // be used; those in force then stay in force.
  absl::Status SetCertificates(const std::string& tls_identity, const std::string& tls_client_ca);

  // From now on each answer is the last of its connection, and says so.
  void Drain();
  // False where requests are still in work after `limit`.
  bool AwaitAnswered(absl::Duration limit);
  // Closes the port and idle connections at once, the others after the answer in work, or when
  // HttpServerOptions::stop_limit is over.
  void Stop();

  int port() const;  // 0 before Start
  int64_t connections() const;
  // Of bodies that are coming in, or are not read yet: part of max_receiving_bytes.
  int64_t body_bytes() const;

 private:
  class Loop;

  HttpRouter router_;
  std::unique_ptr<Loop> loop_;
};

}  // namespace longspan
