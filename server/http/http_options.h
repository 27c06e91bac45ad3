// HttpServerOptions: limits and hooks of the HTTP server. Plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/net/listener.h"

namespace longspan {

// How one request ended.
struct HttpReport {
  std::string_view route = "other";  // the path of its route; "other" where it has none
  int code = 0;                      // 499 = the peer went before there was an answer
  absl::Duration time;               // from its headers to the end of its answer
};

struct HttpServerOptions {
  // Of a route that does not say otherwise. 1 MiB is far beyond what a probe or a scrape sends.
  int64_t max_body_bytes = 1 << 20;
  int64_t max_connections = 256;           // open at once; at least 1
  int64_t max_connections_per_client = 0;  // ListenerOptions::max_per_client
  size_t max_request_line = 8 << 10;       // beyond it 414
  size_t max_header_bytes = 16 << 10;      // with the request line; beyond it 431
  // Memory for the bodies of all requests, until their handlers take them. Beyond it 503.
  int64_t max_receiving_bytes = int64_t{256} << 20;
  // Bytes of a stream that the kernel has not taken yet.
  size_t max_unsent_bytes = 1 << 20;

  // What a peer may take its time for; beyond it 408, or the connection is closed.
  absl::Duration handshake_timeout = absl::Seconds(10);
  // From the connection, or the first byte of a later request, to the end of the headers.
  absl::Duration header_timeout = absl::Seconds(10);
  // For a body: so long, and a second more for each `least_rate` bytes that came; at most
  // body_timeout. For a block of a streamed body: so long.
  absl::Duration body_grace = absl::Seconds(10);
  absl::Duration body_timeout = absl::Seconds(60);
  // For an answer that the kernel cannot take: so long, and a second more for each `least_rate`
  // bytes that it took.
  absl::Duration write_grace = absl::Seconds(20);
  int64_t least_rate = 16 << 10;  // bytes a second
  // Between two requests of one connection, which is then closed in silence.
  absl::Duration idle_timeout = absl::Seconds(60);
  // From the end of the last answer until the peer closes the connection. An answer can be lost
  // where a connection is closed while its peer still sends.
  absl::Duration linger_timeout = absl::Seconds(2);
  // How long Stop waits for answers.
  absl::Duration stop_limit = absl::Seconds(2);

  int page_threads = 4;  // run the handlers of routes that answer at once
  // Requests that wait for such a thread. Beyond it 503.
  size_t max_waiting_pages = 64;
  int api_threads = 2;  // run the handlers of asynchronous routes

  // PEM texts (transport.h); an empty `tls_identity` = no TLS. See HttpServer::SetCertificates.
  std::string tls_identity;
  std::string tls_client_ca;
  // Web pages of these origins may call routes with `cors`: "https://app.example", or "*".
  std::vector<std::string> cors_origins;
  // Judges the header Authorization for routes with `needs_key`. Unset = nobody needs a key.
  std::function<absl::Status(std::string_view authorization, std::string* name)> check_key;

  // Hears of every connection that the listener closes; see ListenerOptions.
  std::function<void(Refusal, const std::string& client)> on_refusal = [](Refusal,
                                                                          const std::string&) {};
  // Hears of every request, on the loop's thread.
  std::function<void(const HttpReport&)> on_exchange = [](const HttpReport&) {};
};

}  // namespace longspan
