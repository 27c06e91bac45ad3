// What a Status carries beside its code and text: the field at fault, when to try again, a
// machine-readable reason. Kept as payloads of absl::Status under our own names, so that core and
// server/batching can attach them without knowing gRPC; status.h turns them into google.rpc details
// and HTTP headers.
//
// Free functions without state: thread safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace longspan {

// INVALID_ARGUMENT "FIELD MESSAGE" with the field attached: InvalidField("inputs[3].text", "is
// empty; allowed: 1 byte or more").
absl::Status InvalidField(std::string_view field, std::string_view message);

// Attaches (or replaces) a detail; no effect on an OK status. AtField also puts the path in front
// of the text.
absl::Status AtField(const absl::Status& status, std::string_view field);
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);
absl::Status WithReason(absl::Status status, std::string_view reason);

// The details of a status, where it has them.
std::optional<std::string> FieldOf(const absl::Status& status);
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);
std::optional<std::string> ReasonOf(const absl::Status& status);

inline constexpr std::string_view kReasonDeadlineUnreachable = "DEADLINE_UNREACHABLE";

}  // namespace longspan
