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
constexpr char kInputUrl[] = "longspan/input";
constexpr char kInputIdUrl[] = "longspan/input-id";
constexpr char kNoteUrl[] = "longspan/note";

// In this Abseil, absl::string_view is a type of its own.
absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::optional<std::string> Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

// Whether a message or a field begins with this path, which ends there.
bool BeginsWithPath(std::string_view text, std::string_view path) {
  if (!text.starts_with(path)) return false;
  return text.size() == path.size() ||
         std::string_view(" .[").find(text[path.size()]) != std::string_view::npos;
}

// The message with the input of the status in it.
std::string MessageWithInput(const absl::Status& status) {
  std::string message(status.message());
  const std::string path = Payload(status, kInputUrl).value_or("");
  if (path.empty()) return message;
  const std::string id = Payload(status, kInputIdUrl).value_or("");
  const std::string label = id.empty() ? "" : absl::StrCat(" (id ", id, ")");
  for (const std::string& begin : {FieldOf(status).value_or(""), path}) {
    if (begin.empty() || !BeginsWithPath(message, begin)) continue;
    return message.insert(begin.size(), label);
  }
  // "input" is the only one of its request, and tells nothing without an id.
  if (id.empty() && !absl::StrContains(path, "[")) return message;
  return absl::StrCat(path, label, ": ", message);
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

absl::Status WithInput(absl::Status status, std::string_view path, std::string_view id) {
  const std::optional<std::string> field = FieldOf(status);
  if (field.has_value() && !BeginsWithPath(*field, path)) return status;
  status.SetPayload(kInputUrl, absl::Cord(View(path)));
  if (!id.empty()) status.SetPayload(kInputIdUrl, absl::Cord(Quoted(id)));
  return status;
}

absl::Status WithNote(absl::Status status, std::string_view note) {
  if (!Payload(status, kNoteUrl).has_value()) status.SetPayload(kNoteUrl, absl::Cord(View(note)));
  return status;
}

std::string MessageForCaller(const absl::Status& status) {
  const std::string note = Payload(status, kNoteUrl).value_or("");
  return absl::StrCat(MessageWithInput(status), note.empty() ? "" : "; ", note);
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
