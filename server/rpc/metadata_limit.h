// The limit of a call's metadata (headers), and the answer to a call beyond it.
//
// gRPC 1.51 has a limit of its own, whose answer names neither the limit nor the size. So the
// transport takes eight times as much as is allowed, and the call itself is refused with both.
//
// A free function without state: thread safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"

namespace longspan {

// A key, a trace and a request id take a few hundred bytes. 8 KiB is also gRPC's default.
inline constexpr int kMaxMetadataBytes = 8 << 10;
// Beyond this gRPC itself refuses the call, without a number.
inline constexpr int kMaxTransportMetadataBytes = 64 << 10;

// RESOURCE_EXHAUSTED where the caller's metadata has more than kMaxMetadataBytes, by the measure of
// HTTP/2: names, values, and 32 bytes for each entry.
absl::Status CheckMetadata(const grpc::CallbackServerContext& context);

}  // namespace longspan
