#include "server/wire/renamed_field.h"

#include "absl/strings/cord.h"
#include "core/error_details.h"

namespace longspan {

absl::Status RenamedField(const absl::Status& status, FieldNamer name, std::string_view remedy) {
  constexpr std::string_view kRemedy = "(set truncation)";
  const std::string field = FieldOf(status).value_or("");
  std::string message(status.message());
  // A message begins with the field that it is about.
  if (field.empty() || !message.starts_with(field + " ")) return status;
  message.erase(0, field.size() + 1);
  if (!remedy.empty() && message.ends_with(kRemedy))
    message.replace(message.size() - kRemedy.size(), kRemedy.size(), remedy);
  absl::Status renamed(status.code(), message);
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { renamed.SetPayload(url, payload); });
  const std::string other = name(field);
  return AtField(renamed, other.empty() ? field : other);
}

}  // namespace longspan
