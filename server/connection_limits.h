// ConnectionLimits: how many connections the two ports take, by the settings and by the descriptors
// that the process may still open.
//
// A free function, called once by Server::Create.
#pragma once

#include <cstdint>

#include "server/server_options.h"

namespace longspan {

struct ConnectionLimits {
  int64_t grpc;
  int64_t grpc_per_client;  // 0 = no limit of its own
  int64_t http;
  int64_t http_per_client;  // 0 = no limit of its own
};

ConnectionLimits ConnectionLimitsOf(const ServerOptions& options);

}  // namespace longspan
