// Listening: from the address that an operator writes to sockets, and from a listening server to
// the sockets that prove that it answers.
//
// Free functions and plain values: thread safe. All may block for the time of a name lookup, which
// is why they run at start and not in a probe.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/longspan/v1/address.h"

namespace longspan {

// The address of one socket, as the kernel knows it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// The same as a target name of gRPC that needs no lookup: "ipv4:127.0.0.1:50051",
// "ipv6:[::1]:50051", "unix:/run/longspan.sock", "unix-abstract:longspan".
std::string TargetOf(const SocketAddress& address);

// The sockets that `address` stands for and that can be listened on now, at least one. A name may
// stand for several; those of a kind that this machine lacks (IPv6) are left out. UNAVAILABLE, with
// the system's reason, where there is none, or where one of them is taken: half of a name's
// addresses would send callers of the other half to somebody else. Nothing is left behind, and a
// socket file whose server is gone counts as free.
absl::StatusOr<std::vector<SocketAddress>> FindFreeSockets(const Address& address);

// Where a server that listens on `sockets` answers callers of its own machine: the same addresses
// with `port` put in, and for "all addresses" the loopback address that takes connections.
std::vector<SocketAddress> SelfSockets(std::vector<SocketAddress> sockets, int port);

// A connected socket, which does not block and belongs to the caller. `before` gets the socket
// before it connects. UNAVAILABLE with the system's reason where there is no connection within
// `timeout`.
absl::StatusOr<int> ConnectTo(const SocketAddress& address, absl::Duration timeout,
                              const std::function<void(int fd)>& before = {});

}  // namespace longspan
