// Retry: whether and when a call that failed is made again, within the deadline of the call. Calls
// of longspan.v1 change nothing on the server, or leave it as one of them would, so they may be
// repeated.
//
//   UNAVAILABLE          again until the deadline: the server starts anew, or another takes its
//                        place. A server that was never reached gets `reach_limit`: its name or
//                        port may be wrong
//   CANCELLED            like UNAVAILABLE: this client cancels nothing, so a server has ended with
//                        the call still open
//   RESOURCE_EXHAUSTED   again until the deadline where the server says when, else 4 attempts: it
//                        may be the request that is too large
//   all others           never
//
// The pause is the one that the server names (the trailer grpc-retry-pushback-ms, or RetryInfo in
// the status; a negative one forbids another attempt), else 0.1 s, doubling up to 2 s. A fifth is
// added or taken off by chance, so that callers who failed together do not come back together.
//
// Thread safety: none; one for each call.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <optional>
#include <random>

#include "absl/time/time.h"
#include "client/steady_now.h"

namespace longspan {

// When the server asks for the next attempt; negative = never. `context` is that of a call which
// has ended with `status`.
std::optional<absl::Duration> PushbackOf(const grpc::ClientContext& context,
                                         const grpc::Status& status);

class Retry {
 public:
  struct Options {
    bool allowed = true;
    absl::Duration deadline;     // of all attempts together
    absl::Duration reach_limit;  // how long a server that was never reached is tried
  };
  // `now`: a clock that is never set; for tests.
  explicit Retry(const Options& options, std::function<absl::Time()> now = SteadyNow);

  // What the next attempt may take.
  absl::Duration Left() const { return until_ - now_(); }
  int attempts() const { return attempts_; }
  absl::Duration Elapsed() const { return now_() - began_; }

  // After an attempt that ended with `code`: the pause before the next one; nothing where there is
  // none. `reached`: this client has had a connection to the server, now or before.
  std::optional<absl::Duration> PauseAfter(grpc::StatusCode code,
                                           std::optional<absl::Duration> pushback, bool reached);

 private:
  absl::Duration NextBackoff();

  const Options options_;
  const std::function<absl::Time()> now_;
  const absl::Time began_;
  const absl::Time until_;
  absl::Duration backoff_;
  int attempts_ = 0;
  std::mt19937 random_;
};

}  // namespace longspan
