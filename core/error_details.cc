#include "core/error_details.h"

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
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

// The beginning of a text, at most `most` bytes of it, that does not end inside a UTF-8 character.
std::string_view Beginning(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  const auto is_inside = [&](size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  // A character has at most 4 bytes; more continuation bytes than that are no UTF-8 anyway.
  size_t end = most;
  while (end > 0 && most - end < 4 && is_inside(end)) --end;
  return text.substr(0, is_inside(end) ? most : end);
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

std::string LimitOf(const absl::Status& status) {
  const std::optional<std::string> reason = ReasonOf(status);
  if (!reason.has_value() || !absl::StartsWith(*reason, "MAX_")) return "";
  return absl::AsciiStrToLower(*reason);
}

std::string CutUtf8(std::string_view text, size_t most) {
  return std::string(Beginning(text, most));
}

std::string Quoted(std::string_view text) {
  const std::string_view shown = Beginning(text, kMaxQuotedBytes);
  // Escapes quotes, backslashes and control characters; UTF-8 stays as it is.
  const std::string escaped = absl::Utf8SafeCEscape(View(shown));
  if (shown.size() == text.size()) return absl::StrCat("'", escaped, "'");
  return absl::StrCat("'", escaped, "...' (", text.size(), " bytes)");
}

std::string ShortMessage(std::string_view message) {
  if (message.size() <= kMaxStatusBytes) return std::string(message);
  const std::string end = absl::StrCat("... (", message.size(), " bytes)");
  return absl::StrCat(View(Beginning(message, kMaxStatusBytes - end.size())), end);
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
