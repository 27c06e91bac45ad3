// What a Status carries beside its code and text: the field at fault, when to try again, a reason
// that a program can read.
//
// The details are payloads of absl::Status under names of our own, so that code without gRPC (the
// encoder, and the server's text, batching and engine) can attach them. server/wire/status.h turns
// them into google.rpc details and HTTP headers.
//
//   InvalidField("spans[2]", "is empty; allowed: 1 token or more")
//     INVALID_ARGUMENT "spans[2] is empty; allowed: 1 token or more", FieldOf: "spans[2]"
//   AtField(that status, "inputs[3]")
//     INVALID_ARGUMENT "inputs[3] spans[2] is empty; ...", FieldOf: "inputs[3]"
//
// Free functions without state: thread safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace longspan {

// INVALID_ARGUMENT with the text "FIELD MESSAGE" and the field attached.
absl::Status InvalidField(std::string_view field, std::string_view message);

// Each returns the status with the detail attached, in place of an older one of its kind; an OK
// status stays as it is. AtField also puts the field in front of the text.
absl::Status AtField(const absl::Status& status, std::string_view field);
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);
absl::Status WithReason(absl::Status status, std::string_view reason);

// The details of a status; nullopt where it has none of the kind.
std::optional<std::string> FieldOf(const absl::Status& status);
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);
std::optional<std::string> ReasonOf(const absl::Status& status);

inline constexpr std::string_view kReasonDeadlineUnreachable = "DEADLINE_UNREACHABLE";

}  // namespace longspan
