#include "client/retry.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace longspan {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(100);
constexpr absl::Duration kLongestBackoff = absl::Seconds(2);
constexpr double kJitter = 0.2;
// RESOURCE_EXHAUSTED without a time to try again.
constexpr int kAttemptsWithoutAdvice = 4;

}  // namespace

std::optional<absl::Duration> PushbackOf(const grpc::ClientContext& context,
                                         const grpc::Status& status) {
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto found = trailers.find("grpc-retry-pushback-ms"); found != trailers.end()) {
    int64_t milliseconds = 0;
    // gRPC takes a pushback that it cannot read for one that forbids the next attempt.
    return absl::SimpleAtoi(absl::string_view(found->second.data(), found->second.size()),
                            &milliseconds)
               ? absl::Milliseconds(milliseconds)
               : absl::Seconds(-1);
  }
  google::rpc::Status detailed;
  if (!detailed.ParseFromString(status.error_details())) return std::nullopt;
  for (const google::protobuf::Any& any : detailed.details()) {
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&retry))
      return absl::Seconds(retry.retry_delay().seconds()) +
             absl::Nanoseconds(retry.retry_delay().nanos());
  }
  return std::nullopt;
}

Retry::Retry(const Options& options, std::function<absl::Time()> now)
    : options_(options),
      now_(std::move(now)),
      began_(now_()),
      until_(began_ + options.deadline),
      backoff_(kFirstBackoff),
      random_(std::random_device{}()) {}

std::optional<absl::Duration> Retry::PauseAfter(grpc::StatusCode code,
                                                std::optional<absl::Duration> pushback,
                                                bool reached) {
  ++attempts_;
  if (!options_.allowed) return std::nullopt;
  if (pushback.has_value() && *pushback < absl::ZeroDuration()) return std::nullopt;
  // This client cancels nothing, so CANCELLED comes from a server that ends with the call open.
  if (code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::CANCELLED) {
    if (!reached && Elapsed() >= options_.reach_limit) return std::nullopt;
  } else if (code != grpc::StatusCode::RESOURCE_EXHAUSTED ||
             (!pushback.has_value() && attempts_ >= kAttemptsWithoutAdvice)) {
    return std::nullopt;
  }
  const absl::Duration backoff = NextBackoff();
  const absl::Duration pause = pushback.value_or(backoff) *
                               std::uniform_real_distribution(1 - kJitter, 1 + kJitter)(random_);
  // A pause that leaves no time for an attempt would only make the same error come later.
  if (pause >= Left()) return std::nullopt;
  return pause;
}

absl::Duration Retry::NextBackoff() {
  return std::exchange(backoff_, std::min(2 * backoff_, kLongestBackoff));
}

}  // namespace longspan
