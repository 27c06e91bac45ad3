// DialGrpc: whether the gRPC port of this process really answers. A listener whose process ran out
// of file descriptors stays dead in gRPC 1.51 while the process lives. Nothing inside the process
// shows it; only a new connection does.
//
// A free function without state: thread safe. It blocks for at most `timeout`.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace longspan {

// Opens a new connection to `target`, "127.0.0.1:50051", and asks grpc.health.v1.Health/Check for
// "liveness". OK = somebody answered. With TLS the dial ends once the TCP connection stands.
// UNAVAILABLE where nobody answers.
absl::Status DialGrpc(const std::string& target, bool uses_tls, absl::Duration timeout);

}  // namespace longspan
