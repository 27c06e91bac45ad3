// The name of a server as a user gives it: whether gRPC can use it, and whether calls to it go
// through an HTTP proxy.
//
// Free functions without state: thread safe.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace longspan {

// The value of an environment variable; nullopt where it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// OK for HOST:PORT, [IPv6]:PORT, unix:PATH and unix-abstract:NAME, for the same behind dns:, ipv4:
// (several with commas) and ipv6:, and for any xds: name. INVALID_ARGUMENT with what is allowed for
// anything else: gRPC itself would take port 99999 for 34463, and 443 where none is given.
absl::Status CheckServerName(const std::string& server);

// Whether no proxy can be of use, because only this machine knows the server by that name:
// 127.0.0.0/8, ::1, localhost, 0.0.0.0, a Unix socket, an IPv6 address with its interface.
bool IsReachedDirectly(const std::string& server);

// The proxy that gRPC 1.51 sends calls through, for error messages: "http://HOST:PORT, which
// https_proxy names", without the password that the variable may hold. Empty where calls go
// directly. The rule is gRPC's: the first of grpc_proxy, https_proxy and http_proxy that is set
// counts, all in lower case; the first of no_grpc_proxy and no_proxy holds endings of host names,
// with commas between them, that are reached directly.
std::string ProxyOf(const std::string& server, const Environment& environment);

// Where `longspan` finds a server that was started with `listen`, on the same machine:
// "0.0.0.0:50051" is "127.0.0.1:50051". Empty where that is not an address that can be called.
std::string ServerOfListen(const std::string& listen);

}  // namespace longspan
