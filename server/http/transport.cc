#include "server/http/transport.h"

#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "server/net/listen_address.h"

namespace longspan {
namespace {

// As the gRPC port allows them (server/rpc/tls_check.cc).
constexpr char kCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";
constexpr char kCurves[] = "P-256";

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

IoResult FromCall(ssize_t result, Io wait) {
  if (result > 0) return {Io::kDone, static_cast<size_t>(result)};
  if (result == 0) return {Io::kEnd, 0};
  return {WouldBlock(errno) ? wait : Io::kFailed, 0};
}

// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE where the peer is gone.
int BioWrite(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = send(*static_cast<const int*>(BIO_get_data(bio)), bytes,
                            static_cast<size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && WouldBlock(errno)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int BioRead(BIO* bio, char* to, int most) {
  BIO_clear_retry_flags(bio);
  const ssize_t got =
      recv(*static_cast<const int*>(BIO_get_data(bio)), to, static_cast<size_t>(most), 0);
  if (got < 0 && WouldBlock(errno)) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

long BioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

// `fd` outlives it.
BIO* SocketBio(int* fd) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "longspan socket");
    BIO_meth_set_write(made, &BioWrite);
    BIO_meth_set_read(made, &BioRead);
    BIO_meth_set_ctrl(made, &BioControl);
    return made;
  }();
  BIO* const bio = BIO_new(method);
  BIO_set_data(bio, fd);
  BIO_set_init(bio, 1);
  return bio;
}

// Of the protocols that a caller offers we speak one. A caller that offers HTTP/2 alone is told so
// in the handshake, and not by an answer that it cannot read.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kOurs, sizeof(kOurs) - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

absl::Status Bad(absl::string_view what) {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": ", reason == nullptr ? "no reason given" : reason));
}

Bio Reader(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}
Certificate NextCertificate(const Bio& reader) {
  return {PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr), &X509_free};
}

absl::Status UseIdentity(SSL_CTX* context, const std::string& identity) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(Reader(identity).get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  const Bio reader = Reader(identity);
  const Certificate own = NextCertificate(reader);
  if (key == nullptr || own == nullptr) return Bad("no key or no certificate");
  if (SSL_CTX_use_certificate(context, own.get()) != 1) return Bad("the certificate is refused");
  while (const Certificate next = NextCertificate(reader)) {
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return Bad("the chain is refused");
  }
  ERR_clear_error();  // the end of the text
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) return Bad("the key is refused");
  return absl::OkStatus();
}

absl::Status UseClientCa(SSL_CTX* context, const std::string& client_ca) {
  const Bio reader = Reader(client_ca);
  int authorities = 0;
  while (const Certificate next = NextCertificate(reader)) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), next.get());
    SSL_CTX_add_client_CA(context, next.get());
    ++authorities;
  }
  ERR_clear_error();  // the end of the text
  if (authorities == 0) return Bad("no authority of callers");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsContext> MakeTlsContext(const std::string& identity,
                                          const std::string& client_ca) {
  TlsContext context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context.get(), kCiphers);
  SSL_CTX_set1_groups_list(context.get(), kCurves);
  // No session outlives its connection: one that was resumed would skip the check of its
  // certificate against authorities that have changed since.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Idle connections hold no buffers.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(context.get(), &ChooseProtocol, nullptr);
  ERR_clear_error();
  if (absl::Status status = UseIdentity(context.get(), identity); !status.ok()) return status;
  if (client_ca.empty()) return context;
  if (absl::Status status = UseClientCa(context.get(), client_ca); !status.ok()) return status;
  return context;
}

Transport::Transport(int fd, const TlsContext& tls) : fd_(fd) {
  if (tls == nullptr) return;
  tls_ = SSL_new(tls.get());
  BIO* const bio = SocketBio(&fd_);
  SSL_set_bio(tls_, bio, bio);
  SSL_set_accept_state(tls_);
}

Transport::~Transport() {
  SSL_free(tls_);
  close(fd_);
}

bool Transport::HasClientCertificate() const {
  return tls_ != nullptr && SSL_get0_peer_certificate(tls_) != nullptr &&
         SSL_get_verify_result(tls_) == X509_V_OK;
}

IoResult Transport::Judge(int result) {
  if (result > 0) return {Io::kDone, static_cast<size_t>(result)};
  const int error = SSL_get_error(tls_, result);
  ERR_clear_error();
  switch (error) {
    case SSL_ERROR_WANT_READ:
      return {Io::kRead, 0};
    case SSL_ERROR_WANT_WRITE:
      return {Io::kWrite, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {Io::kEnd, 0};
    default:
      broken_ = true;
      return {Io::kFailed, 0};
  }
}

IoResult Transport::Handshake() {
  ERR_clear_error();
  return Judge(SSL_do_handshake(tls_));
}

IoResult Transport::Read(char* to, size_t most) {
  if (tls_ == nullptr) return FromCall(recv(fd_, to, most, 0), Io::kRead);
  ERR_clear_error();
  return Judge(SSL_read(tls_, to, static_cast<int>(std::min<size_t>(most, INT_MAX))));
}

IoResult Transport::Write(std::string_view bytes) {
  if (tls_ == nullptr)
    return FromCall(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), Io::kWrite);
  ERR_clear_error();
  return Judge(
      SSL_write(tls_, bytes.data(), static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX))));
}

void Transport::CloseWrite() {
  if (tls_ != nullptr && !broken_ && SSL_is_init_finished(tls_) == 1) {
    ERR_clear_error();
    SSL_shutdown(tls_);  // where the socket is full, the peer sees the end without a farewell
    ERR_clear_error();
  }
  shutdown(fd_, SHUT_WR);
}

Io Transport::Discard() {
  char bytes[16 << 10];
  // A few turns, so that a peer that sends without end does not hold the loop.
  for (int turn = 0; turn < 16; ++turn) {
    const IoResult got = FromCall(recv(fd_, bytes, sizeof(bytes), 0), Io::kRead);
    if (got.io != Io::kDone) return got.io;
  }
  return Io::kRead;
}

std::string PeerOf(int fd) {
  SocketAddress peer;
  peer.size = sizeof(peer.storage);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) return "";
  const auto six = *reinterpret_cast<const sockaddr_in6*>(&peer.storage);
  if (peer.storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) {
    // A caller by IPv4 on a socket that takes both.
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = six.sin6_port;
    std::memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], sizeof(four.sin_addr));
    std::memcpy(&peer.storage, &four, sizeof(four));
    peer.size = sizeof(four);
  }
  return TargetOf(peer);
}

}  // namespace longspan
