// CheckVariableNames: finds a variable of the environment that was meant for `longspan` and is
// misspelt. LONGSPAN_KEYS would otherwise be ignored in silence, and every call be refused.
//
// The client may run in a server's environment, where other variables begin with LONGSPAN_ too:
// those of the server's settings, of scripts, of Kubernetes' Services. So only names that are a
// letter or two from one of the client's own are refused.
//
// A function without state: thread safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace longspan {

// `variables`: "NAME=VALUE". INVALID_ARGUMENT names the variable and the one that was meant.
absl::Status CheckVariableNames(const std::vector<std::string>& variables);

}  // namespace longspan
