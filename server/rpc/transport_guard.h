// TransportGuard: puts a FrameGuard in front of every server connection of gRPC in this process,
// behind TLS, and counts what is alive on it.
//
// gRPC 1.51 has no place for such a guard, so it is put where the bytes pass. The library's
// functions that make, feed and end a transport and a stream have names in its dynamic symbol
// table, and its own calls of them go through that table. The definitions in transport_guard.cc
// come before those of the library in the order of the dynamic linker; each calls the library's.
// Beside the bounds of FrameGuard, a connection may have at most so many streams that gRPC still
// holds memory for. Its own limit (max_concurrent_streams) counts those that are open on the wire,
// and a stream that was reset leaves it at once, long before its call has been cleaned up.
//
// This depends on the version of gRPC. Compiled with another one the guard is not there and
// `Supported` is false; nothing else changes. Whether it is in force shows by use: `transports`
// grows with the first connection.
//
// Thread safety: all functions may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace longspan {

// Why a connection was closed by the guard.
enum class Abuse { kHeaderBlock, kResets, kIdleFrames, kStreams };
inline constexpr size_t kNumAbuses = 4;
// "header_block", "resets", "idle_frames", "streams"
std::string_view AbuseName(Abuse abuse);

namespace transport_guard {

// The versions match, and the dynamic linker finds the guard's functions first.
bool Supported();

// Server connections that the guard has seen since the process began.
int64_t transports();

// Most streams of one connection that gRPC holds memory for; beyond it the connection is closed.
// The setting holds for the process; the last call counts.
void SetMaxStreams(int64_t streams);

// Hears of every connection that the guard closes, while its descriptor is open; `client`: its
// address with the port, as gRPC writes it ("ipv4:127.0.0.1:40000"). It is called on gRPC's threads
// and must not wait. The setting holds for the process; an empty function ends it, after the call
// under way.
void SetObserver(std::function<void(Abuse, int fd, const std::string& client)> observer);

// For how long the connection with this descriptor has had no stream: zero while it has one.
// Nothing where no transport has this descriptor: its handshake is not done.
std::optional<absl::Duration> Idle(int fd);

}  // namespace transport_guard
}  // namespace longspan
