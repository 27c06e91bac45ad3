#include "server/http/transport.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/net/listen_address.h"

namespace longspan {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

// As the gRPC port allows them (server/rpc/tls_check.cc).
constexpr char kCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";
constexpr char kCurves[] = "P-256";

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

absl::Status Bad(absl::string_view what, const error_code& error) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", error.message()));
}

// Callers are told the names of the authorities, so that they can choose a certificate.
void NameAuthorities(SSL_CTX* context) {
  const auto* const known = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context));
  for (int i = 0; i < sk_X509_OBJECT_num(known); ++i)
    SSL_CTX_add_client_CA(context, X509_OBJECT_get0_X509(sk_X509_OBJECT_value(known, i)));
}

Io Judge(const error_code& error) {
  if (!error) return Io::kDone;
  return error == asio::error::eof ? Io::kEnd : Io::kFailed;
}

}  // namespace

absl::StatusOr<TlsContext> MakeTlsContext(const std::string& identity,
                                          const std::string& client_ca) {
  const auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(native, kCiphers);
  SSL_CTX_set1_groups_list(native, kCurves);
  // No session outlives its connection: one that was resumed would skip the check of its
  // certificate against authorities that have changed since.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                  SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_alpn_select_cb(native, &ChooseProtocol, nullptr);
  error_code error;
  context->use_certificate_chain(asio::buffer(identity), error);
  if (error) return Bad("the certificate is refused", error);
  context->use_private_key(asio::buffer(identity), ssl::context::pem, error);
  if (error) return Bad("the key is refused", error);
  if (client_ca.empty()) return context;
  context->add_certificate_authority(asio::buffer(client_ca), error);
  if (error) return Bad("the authorities of callers are refused", error);
  NameAuthorities(native);
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
  return context;
}

struct Transport::Socket {
  Socket(EventLoop* loop, int descriptor, TlsContext tls_context)
      : fd(descriptor), socket(loop->context()), context(std::move(tls_context)) {
    if (context != nullptr) tls.emplace(socket, *context);
    error_code error;
    socket.assign(tcp::v4(), fd, error);
    // Where it cannot be watched, whatever is asked of it fails.
    if (error) close(fd);
    socket.non_blocking(true, error);
  }

  using Shared = std::shared_ptr<Socket>;
  static void ReadPlain(const Shared& self, char* to, size_t most, Received received);
  static void ReadTls(const Shared& self, char* to, size_t most, Received received);
  static void Discard(const Shared& self, std::function<void()> ended);

  const int fd;
  tcp::socket socket;
  const TlsContext context;
  std::optional<ssl::stream<tcp::socket&>> tls;
  std::array<char, 1> first{};
};

Transport::Transport(EventLoop* loop, int fd, TlsContext tls)
    : socket_(std::make_shared<Socket>(loop, fd, std::move(tls))) {}
Transport::~Transport() { Close(); }

bool Transport::has_tls() const { return socket_->tls.has_value(); }

bool Transport::HasClientCertificate() const {
  if (!has_tls()) return false;
  SSL* const native = socket_->tls->native_handle();
  return SSL_get0_peer_certificate(native) != nullptr && SSL_get_verify_result(native) == X509_V_OK;
}

void Transport::Handshake(std::function<void(bool ok)> done) {
  socket_->tls->async_handshake(
      ssl::stream_base::server,
      [keep = socket_, done = std::move(done)](const error_code& error) { done(!error); });
}

void Transport::Read(char* to, size_t most, Received received) {
  has_tls() ? Socket::ReadTls(socket_, to, most, std::move(received))
            : Socket::ReadPlain(socket_, to, most, std::move(received));
}

void Transport::Socket::ReadPlain(const Shared& self, char* to, size_t most, Received received) {
  self->socket.async_wait(tcp::socket::wait_read, [self, to, most, received = std::move(received)](
                                                      error_code error) mutable {
    const size_t got = error ? 0 : self->socket.read_some(asio::buffer(to, most), error);
    if (error == asio::error::would_block) return ReadPlain(self, to, most, std::move(received));
    received(Judge(error), {to, got});
  });
}

// One byte alone is waited for, in memory of its own. With it its whole record has come, whose rest
// OpenSSL gives at once.
void Transport::Socket::ReadTls(const Shared& self, char* to, size_t most, Received received) {
  self->tls->async_read_some(
      asio::buffer(self->first),
      [self, to, most, received = std::move(received)](error_code error, size_t) {
        if (error) return received(Judge(error), {});
        to[0] = self->first[0];
        const auto there = static_cast<size_t>(SSL_pending(self->tls->native_handle()));
        const size_t rest = std::min(most - 1, there);
        if (rest > 0) self->tls->read_some(asio::buffer(to + 1, rest), error);
        received(Judge(error), {to, 1 + rest});
      });
}

void Transport::Write(std::string_view bytes, Written written) {
  const auto buffer = asio::buffer(bytes.data(), bytes.size());
  auto done = [keep = socket_, written = std::move(written)](const error_code& error, size_t size) {
    written(!error, size);
  };
  if (has_tls()) {
    socket_->tls->async_write_some(buffer, std::move(done));
  } else {
    socket_->socket.async_write_some(buffer, std::move(done));
  }
}

void Transport::CloseWrite() {
  // The farewell is written before this returns. Where the socket is full, the peer sees the end
  // without it. The peer's own is not waited for.
  if (has_tls()) socket_->tls->async_shutdown([keep = socket_](const error_code&) {});
  error_code error;
  socket_->socket.shutdown(tcp::socket::shutdown_send, error);
}

void Transport::Discard(std::function<void()> ended) { Socket::Discard(socket_, std::move(ended)); }

void Transport::Socket::Discard(const Shared& self, std::function<void()> ended) {
  self->socket.async_wait(tcp::socket::wait_read,
                          [self, ended = std::move(ended)](error_code error) mutable {
                            std::array<char, 16 << 10> bytes;
                            if (!error) self->socket.read_some(asio::buffer(bytes), error);
                            if (error && error != asio::error::would_block) return ended();
                            Discard(self, std::move(ended));
                          });
}

void Transport::AwaitFailure(std::function<void()> failed) {
  socket_->socket.async_wait(tcp::socket::wait_error,
                             [keep = socket_, failed = std::move(failed)](const error_code& error) {
                               if (error != asio::error::operation_aborted) failed();
                             });
}

bool Transport::PeerHasEnded() const {
  pollfd state{.fd = socket_->fd, .events = POLLRDHUP, .revents = 0};
  return poll(&state, 1, 0) > 0;
}

void Transport::Close() {
  error_code error;
  socket_->socket.close(error);
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
