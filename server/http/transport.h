// Transport: one connected socket, with TLS or without, on Boost.Asio and its ssl::stream
// (OpenSSL). What is asked for is done later, and then told to a callback on the loop's thread.
//
// TlsContext: certificate, key and settings of the server's side, for the connections that begin
// from now on. Connections that stand keep the one that they began with.
//
// Thread safety: Transport none, the thread of the event loop uses it; TlsContext constant.
// Ownership: a Transport owns its socket and closes it. Whoever reads or writes keeps the memory
// for that until the callback, which comes for what Close breaks off, too.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/http/event_loop.h"

namespace boost::asio::ssl {
class context;
}

namespace longspan {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;
// `identity`: PEM of the private key and of the chain, the server's certificate first.
// `client_ca`: PEM of the authorities of callers; empty = they need no certificate. Both are texts
// that CheckTls (server/rpc/tls_check.h) has found good. INVALID_ARGUMENT where OpenSSL thinks
// otherwise.
absl::StatusOr<TlsContext> MakeTlsContext(const std::string& identity,
                                          const std::string& client_ca);

enum class Io {
  kDone,
  kEnd,     // the peer writes no more
  kFailed,  // the connection is no more
};

class Transport {
 public:
  using Received = std::function<void(Io, std::string_view bytes)>;
  using Written = std::function<void(bool ok, size_t bytes)>;

  // `tls` null = without.
  Transport(EventLoop* loop, int fd, TlsContext tls);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  bool has_tls() const;
  // The caller has shown one, and an authority of ours has signed it. After the handshake.
  bool HasClientCertificate() const;

  // With TLS, before all else.
  void Handshake(std::function<void(bool ok)> done);
  // Waits until something has come, and only then reads it to `to`, which connections may share:
  // the callback gets a view of it, `most` bytes at most. One at a time.
  void Read(char* to, size_t most, Received received);
  // Some of `bytes`, of which there are some. One at a time.
  void Write(std::string_view bytes, Written written);
  // Tells the peer that nothing more comes. After the last Write.
  void CloseWrite();
  // Throws away what still comes, until the end.
  void Discard(std::function<void()> ended);

  // Calls it where the connection is no more (a reset), though nothing is read or written.
  void AwaitFailure(std::function<void()> failed);
  // Whether the peer writes no more, though there may be something to read before the end.
  bool PeerHasEnded() const;
  // What is under way fails.
  void Close();

 private:
  struct Socket;
  std::shared_ptr<Socket> socket_;  // shared with what is under way
};

// "ipv4:127.0.0.1:50712", as gRPC's ServerContext::peer says it; empty where the peer is gone.
std::string PeerOf(int fd);

}  // namespace longspan
