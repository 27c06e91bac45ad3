// ShuttingDown: the answer to everything that still waits in a queue of the engine when the server
// shuts down. UNAVAILABLE with a retry after one second: another replica can take the text, and a
// client that has only this one should not try again at once.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/error_details.h"

namespace longspan {

inline absl::Status ShuttingDown() {
  return WithRetryAfter(absl::UnavailableError("the server is shutting down; try another replica"),
                        absl::Seconds(1));
}

}  // namespace longspan
