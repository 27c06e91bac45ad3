// Transport: reads from and writes to one connected socket that does not block, with TLS or
// without.
//
// TlsContext: certificate, key and settings of the server's side, for the connections that begin
// from now on. Connections that stand keep the one that they began with.
//
// Thread safety: Transport none, the thread of the event loop uses it; TlsContext constant.
// Ownership: a Transport owns its socket and closes it.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace longspan {

using TlsContext = std::shared_ptr<SSL_CTX>;
// `identity`: PEM of the private key and of the chain, the server's certificate first.
// `client_ca`: PEM of the authorities of callers; empty = they need no certificate. Both are texts
// that CheckTls (server/rpc/tls_check.h) has found good. INVALID_ARGUMENT where OpenSSL thinks
// otherwise.
absl::StatusOr<TlsContext> MakeTlsContext(const std::string& identity,
                                          const std::string& client_ca);

enum class Io {
  kDone,    // `bytes` were moved, or the handshake is over
  kRead,    // nothing can be done before there is something to read
  kWrite,   // nothing can be done before something can be written
  kEnd,     // the peer writes no more
  kFailed,  // the connection is no more
};
struct IoResult {
  Io io = Io::kFailed;
  size_t bytes = 0;
};

class Transport {
 public:
  // `tls` null = without.
  Transport(int fd, const TlsContext& tls);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  int fd() const { return fd_; }
  bool has_tls() const { return tls_ != nullptr; }
  // The caller has shown one, and an authority of ours has signed it. After the handshake.
  bool HasClientCertificate() const;

  // With TLS, until it says kDone.
  IoResult Handshake();
  IoResult Read(char* to, size_t most);
  IoResult Write(std::string_view bytes);
  // Tells the peer that nothing more comes.
  void CloseWrite();
  // Throws away what still comes. kRead, kEnd or kFailed.
  Io Discard();

 private:
  IoResult Judge(int result);

  int fd_;
  SSL* tls_ = nullptr;
  bool broken_ = false;  // TLS has failed: no farewell
};

// "ipv4:127.0.0.1:50712", as gRPC's ServerContext::peer says it; empty where the peer is gone.
std::string PeerOf(int fd);

}  // namespace longspan
