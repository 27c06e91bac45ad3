#include "server/connection_limits.h"

#include <algorithm>

#include "server/net/listener.h"

namespace longspan {
namespace {

// Descriptors that the server needs beside its connections and those that are open once its model
// is loaded: a dozen of gRPC, HTTP and the listeners; both ends of the connections of four probes
// and of the port's own watch; files that are read again.
constexpr int64_t kDescriptorsForServer = 28;
// Connections, however many descriptors there are. An idle one takes gRPC about 20 KiB.
constexpr int64_t kMostConnections = 4096;
// Connections to the HTTP port, at most; of a small limit a quarter. An idle one takes a few KiB.
constexpr int64_t kMostHttpConnections = 1024;
constexpr int64_t kLeastConnections = 4;

}  // namespace

ConnectionLimits ConnectionLimitsOf(const ServerOptions& options) {
  ConnectionLimits out{};
  const int64_t wanted = options.max_connections > 0 ? options.max_connections : kMostConnections;
  const int64_t free =
      std::max<int64_t>(0, FreeDescriptors(wanted + kMostHttpConnections + kDescriptorsForServer) -
                               kDescriptorsForServer);
  out.http = std::clamp(free / 4, kLeastConnections, kMostHttpConnections);
  // Connections that were told to give way keep their descriptors for a moment: an eighth.
  const int64_t for_grpc = (free - out.http) * 8 / 9;
  out.grpc = std::max(kLeastConnections, std::min(wanted, for_grpc));
  const auto of_one_client = [&](int64_t all) {
    return options.max_connections_per_client == 0
               ? 0
               : std::max<int64_t>(1, std::min(options.max_connections_per_client, all * 3 / 4));
  };
  out.grpc_per_client = of_one_client(out.grpc);
  out.http_per_client = of_one_client(out.http);
  return out;
}

}  // namespace longspan
