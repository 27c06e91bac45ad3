#include "server/tei/tei_errors.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/cord.h"
#include "core/error_details.h"

namespace longspan {
namespace {

// What the engine says, and what tei.v1 says in its place.
using Words = std::pair<std::string_view, std::string_view>;

constexpr std::array<Words, 3> kFields = {{
    {"inputs.text", "inputs"},
    {"options.dimensions", "dimensions"},
    {"options.prompt_name", "prompt_name"},
}};
// How the message about a text that is too long ends.
constexpr Words kRemedy = {"(set truncation)", "(set truncate)"};

}  // namespace

absl::Status InTeiWords(const absl::Status& status) {
  const std::string field = FieldOf(status).value_or("");
  std::string message(status.message());
  // A message begins with the field that it is about.
  if (field.empty() || !message.starts_with(field + " ")) return status;
  message.erase(0, field.size() + 1);
  if (message.ends_with(kRemedy.first))
    message.replace(message.size() - kRemedy.first.size(), kRemedy.first.size(), kRemedy.second);
  std::string_view name = field;
  for (const auto& [engine, tei] : kFields) {
    if (field == engine) name = tei;
  }
  absl::Status translated(status.code(), message);
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    translated.SetPayload(url, payload);
  });
  return AtField(translated, name);
}

}  // namespace longspan
