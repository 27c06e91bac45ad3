// DialGrpc: whether the gRPC port of this process really answers. A listener that no longer accepts
// shows nowhere inside the process; only a new connection finds it.
//
// A free function without state: thread safe. It blocks for at most `timeout`.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/net/listen_address.h"

namespace longspan {

// Opens a new connection to each of `sockets` (an OwnConnection), one after another, and asks
// grpc.health.v1.Health/Check for "liveness". With TLS it makes the handshake instead: a server
// that asks for a client's certificate, of which this process has none, would answer no call. OK =
// all of them answered. UNAVAILABLE, naming the socket, where one does not.
absl::Status DialGrpc(const std::vector<SocketAddress>& sockets, bool uses_tls,
                      absl::Duration timeout);

}  // namespace longspan
