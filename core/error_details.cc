#include "core/error_details.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

constexpr char kFieldUrl[] = "longspan/field";
constexpr char kRetryAfterUrl[] = "longspan/retry-after-ms";
constexpr char kReasonUrl[] = "longspan/reason";

// In this Abseil, absl::string_view is a type of its own.
absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::optional<std::string> Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

absl::Status InvalidField(std::string_view field, std::string_view message) {
  return AtField(absl::InvalidArgumentError(View(message)), field);
}

absl::Status AtField(const absl::Status& status, std::string_view field) {
  if (status.ok()) return status;
  absl::Status located(status.code(), absl::StrCat(View(field), " ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { located.SetPayload(url, payload); });
  located.SetPayload(kFieldUrl, absl::Cord(View(field)));
  return located;
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration delay) {
  status.SetPayload(kRetryAfterUrl, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
  return status;
}

absl::Status WithReason(absl::Status status, std::string_view reason) {
  status.SetPayload(kReasonUrl, absl::Cord(View(reason)));
  return status;
}

std::optional<std::string> FieldOf(const absl::Status& status) {
  return Payload(status, kFieldUrl);
}

std::optional<absl::Duration> RetryAfterOf(const absl::Status& status) {
  const std::optional<std::string> payload = Payload(status, kRetryAfterUrl);
  int64_t milliseconds = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(*payload, &milliseconds)) return std::nullopt;
  return absl::Milliseconds(milliseconds);
}

std::optional<std::string> ReasonOf(const absl::Status& status) {
  return Payload(status, kReasonUrl);
}

}  // namespace longspan
