// Which variables of the environment that begin with LONGSPAN_ may be set. A misspelt one would be
// ignored in silence, and the server would run without the limit that somebody believes in.
//
// Kubernetes sets variables for each Service of the namespace, in the manner of Docker's links. A
// Service "longspan-foo" with a port "grpc" gives
//   LONGSPAN_FOO_SERVICE_HOST=10.0.0.1        LONGSPAN_FOO_SERVICE_PORT=50051
//   LONGSPAN_FOO_SERVICE_PORT_GRPC=50051      LONGSPAN_FOO_PORT=tcp://10.0.0.1:50051
//   LONGSPAN_FOO_PORT_50051_TCP=tcp://10.0.0.1:50051
//   LONGSPAN_FOO_PORT_50051_TCP_PROTO=tcp, ..._PORT=50051, ..._ADDR=10.0.0.1
// and a Service "longspan" the same with LONGSPAN alone. They are let pass by name and value
// together: LONGSPAN_PORT=50051 is nobody's link, but a setting that does not exist.
//
// Free functions without state: thread safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace longspan {

// Whether it is one of the variables above.
bool IsServiceLink(std::string_view name, std::string_view value);

// INVALID_ARGUMENT for the first of `variables` ("NAME=VALUE") that begins with LONGSPAN_ and is
// neither in `known` nor a variable of the client, of the script ./dev or of a Service. It names
// the variable and the known one that is nearest to it, and never a value.
absl::Status CheckVariables(const std::vector<std::string>& variables,
                            const std::vector<std::string>& known);

}  // namespace longspan
