#include "server/rest/json_documents.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/rest/json_message.h"
#include "server/wire/renamed_field.h"

namespace longspan {
namespace {

constexpr char kDocuments[] = "documents";

}  // namespace

JsonValue TakeMember(JsonValue* object, std::string_view name) {
  auto& members = object->members();
  const auto found =
      std::find_if(members.begin(), members.end(),
                   [name](const JsonValue::Member& member) { return member.first == name; });
  if (found == members.end()) return {};
  JsonValue value = std::move(found->second);
  members.erase(found);
  return value;
}

absl::Status ReadDocuments(JsonValue documents, int64_t most, WireDocuments* out,
                           IgnoredFields* ignored) {
  if (documents.is_null()) return absl::OkStatus();
  if (documents.kind() != JsonValue::Kind::kArray) {
    return InvalidField(kDocuments, absl::StrCat(documents.Got(),
                                                 "; allowed: an array of texts, or of objects "
                                                 "with id and text"));
  }
  if (static_cast<int64_t>(documents.size()) > most) {
    return WithReason(InvalidField(kDocuments, absl::StrCat("has ", documents.size(),
                                                            " texts; allowed: 1 to ", most)),
                      kReasonMaxTextsPerRequest);
  }
  for (size_t i = 0; i < documents.elements().size(); ++i) {
    JsonValue& element = documents.elements()[i];
    v1::SearchDocument* document = out->Add();
    const std::string path = absl::StrCat(kDocuments, "[", i, "]");
    if (element.is_string()) {
      document->mutable_text()->swap(element.string());
      continue;
    }
    if (!element.is_object()) {
      return InvalidField(
          path, absl::StrCat(element.Got(), "; allowed: a text, or an object with id and text"));
    }
    const absl::Status status = ReadMessage(std::move(element), document, ignored);
    if (!status.ok()) {
      return RenamedField(
          status,
          [&](std::string_view field) { return absl::StrCat(path, ".", std::string(field)); }, "");
    }
  }
  return absl::OkStatus();
}

}  // namespace longspan
