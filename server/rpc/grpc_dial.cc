#include "server/rpc/grpc_dial.h"

#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/support/channel_arguments.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/batching/clock.h"
#include "server/net/listener.h"
#include "server/rpc/health_service.h"

namespace longspan {
namespace {

// Timeouts count by the steady clock.
absl::Time Now() { return SteadyClock().Now(); }

absl::Status AskHealth(const SocketAddress& socket, absl::Time until) {
  auto connection = OwnConnection::To(socket, until - Now());
  if (!connection.ok()) return connection.status();
  const auto channel =
      grpc::CreateCustomInsecureChannelFromFd(TargetOf(socket), connection->release(), {});
  grpc::ClientContext context;
  // gRPC takes a moment of the system's clock and reads it at once.
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMicroseconds(until - Now()));
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(kLivenessService);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(channel)->Check(&context, request, &response);
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(status.error_message());
}

// The server's certificate is not verified: it proves a name to callers, and this one only wants to
// see the other side at work. In a handshake of TLS 1.3 the client is done before the server asks
// for its certificate, so this works with mutual TLS too.
absl::Status ShakeHands(const SocketAddress& socket, absl::Time until) {
  const auto connection = OwnConnection::To(socket, until - Now());
  if (!connection.ok()) return connection.status();
  const int fd = connection->fd();
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context.get(), kHttp2, sizeof(kHttp2));
  absl::Status result = absl::UnavailableError("the TLS handshake takes too long");
  {
    const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), &SSL_free);
    SSL_set_fd(tls.get(), fd);
    for (absl::Duration left = until - Now(); left > absl::ZeroDuration(); left = until - Now()) {
      ERR_clear_error();
      const int done = SSL_connect(tls.get());
      if (done == 1) {
        result = absl::OkStatus();
        break;
      }
      const int why = SSL_get_error(tls.get(), done);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
        const char* reason = ERR_reason_error_string(ERR_peek_error());
        result = absl::UnavailableError(absl::StrCat(
            "the TLS handshake fails: ", reason == nullptr ? "connection closed" : reason));
        break;
      }
      pollfd ready{.fd = fd,
                   .events = static_cast<int16_t>(why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT),
                   .revents = 0};
      poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    }
  }
  return result;
}

}  // namespace

absl::Status DialGrpc(const std::vector<SocketAddress>& sockets, bool uses_tls,
                      absl::Duration timeout) {
  const absl::Time until = Now() + timeout;
  for (const SocketAddress& socket : sockets) {
    const absl::Status status = uses_tls ? ShakeHands(socket, until) : AskHealth(socket, until);
    if (!status.ok()) {
      return absl::UnavailableError(
          absl::StrCat("the gRPC port ", TargetOf(socket), " does not answer: ", status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace longspan
