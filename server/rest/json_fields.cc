#include "server/rest/json_fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

const char* Allowed(JsonType type) {
  switch (type) {
    case JsonType::kString:
    case JsonType::kChoice:
      return "a string";
    case JsonType::kBool:
      return "true or false";
    case JsonType::kCount:
      return "a whole number of 0 to 4294967295";
    case JsonType::kTexts:
      return "a string, or a list of strings";
    case JsonType::kInputs:
      return "a string, a list of strings, a list of token ids, or a list of such lists";
    case JsonType::kIds:
      return "a list of token ids, or a list of such lists";
    case JsonType::kList:
      return "a list";
    case JsonType::kAnything:
      return "anything";
  }
  return "";
}

bool HasType(const JsonValue& value, JsonType type) {
  using Kind = JsonValue::Kind;
  switch (type) {
    case JsonType::kString:
    case JsonType::kChoice:
      return value.is_string();
    case JsonType::kBool:
      return value.is_bool();
    case JsonType::kCount:
      return value.kind() == Kind::kUnsigned && value.unsigned_number() <= UINT32_MAX;
    case JsonType::kTexts:
      return value.is_string() || value.kind() == Kind::kArray;
    case JsonType::kInputs:
      return value.is_string() || value.is_array();
    case JsonType::kIds:
    case JsonType::kList:
      return value.is_array();
    case JsonType::kAnything:
      return true;
  }
  return false;
}

absl::Status CheckField(const JsonValue& value, const JsonField& field) {
  if (!HasType(value, field.type)) {
    return InvalidField(field.name, absl::StrCat(value.Got(), "; allowed: ", Allowed(field.type)));
  }
  if (field.type != JsonType::kChoice) return absl::OkStatus();
  if (std::find(field.choices.begin(), field.choices.end(), value.string()) != field.choices.end())
    return absl::OkStatus();
  return InvalidField(field.name, absl::StrCat("is ", Quoted(value.string()),
                                               "; allowed: ", QuotedNames(field.choices)));
}

const JsonField* FindField(std::span<const JsonField> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const JsonField& field) { return field.name == name; });
  return found == table.end() ? nullptr : &*found;
}

std::string NamesOf(std::span<const JsonField> table) {
  std::vector<std::string_view> names;
  names.reserve(table.size());
  for (const JsonField& field : table) names.push_back(field.name);
  return QuotedNames(names);
}

absl::Status TooMany(const std::string& field, size_t got, int64_t most) {
  return WithReason(InvalidField(field, absl::StrCat("has ", got, " inputs; allowed: 1 to ", most)),
                    kReasonMaxTextsPerRequest);
}

// One element of a list of texts or of lists of ids, like its first one.
absl::Status TakeElement(JsonValue* value, bool is_text, const std::string& field,
                         JsonInput* input) {
  input->is_text = is_text;
  if (is_text && value->is_string()) {
    input->text = std::move(value->string());
    return absl::OkStatus();
  }
  const bool is_empty_list = value->kind() == JsonValue::Kind::kArray && value->size() == 0;
  if (!is_text && (value->kind() == JsonValue::Kind::kIds || is_empty_list)) {
    input->ids = value->ids();
    return absl::OkStatus();
  }
  return InvalidField(
      field, absl::StrCat(value->Got(),
                          is_text ? "; allowed: a string" : "; allowed: a list of token ids"));
}

}  // namespace

JsonValue* JsonFields::Find(std::string_view name) {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::string JsonFields::String(std::string_view name, std::string_view otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(otherwise) : found->second.string();
}

bool JsonFields::Bool(std::string_view name, bool otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : found->second.boolean();
}

uint32_t JsonFields::Count(std::string_view name, uint32_t otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise
                                : static_cast<uint32_t>(found->second.unsigned_number());
}

absl::StatusOr<JsonFields> ReadFields(JsonValue body, std::span<const JsonField> table,
                                      IgnoredFields* ignored) {
  if (!body.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body is ", std::string(body.KindName()), "; allowed: an object"));
  }
  JsonFields fields;
  for (auto& [name, value] : body.members()) {
    const JsonField* field = FindField(table, name);
    if (field == nullptr) {
      if (absl::Status status = ignored->Add(name, NamesOf(table)); !status.ok()) return status;
    }
    if (field == nullptr || value.is_null()) continue;
    if (absl::Status status = CheckField(value, *field); !status.ok()) return status;
    fields.values_.emplace(name, std::move(value));
  }
  for (const JsonField& field : table) {
    if (field.required && !fields.Has(field.name)) {
      return InvalidField(field.name, absl::StrCat("is missing; allowed: ", Allowed(field.type)));
    }
  }
  return fields;
}

absl::StatusOr<JsonInputs> TakeInputs(JsonValue* value, const std::string& field, int64_t most) {
  JsonInputs taken;
  if (value->is_string()) {
    taken.inputs.push_back({.text = std::move(value->string())});
    return taken;
  }
  if (value->kind() == JsonValue::Kind::kIds) {
    taken.inputs.push_back({.ids = value->ids(), .is_text = false});
    return taken;
  }
  taken.is_list = true;
  std::vector<JsonValue>& elements = value->elements();
  if (elements.empty())
    return InvalidField(field, absl::StrCat("is empty; allowed: 1 to ", most, " inputs"));
  if (static_cast<int64_t>(elements.size()) > most) return TooMany(field, elements.size(), most);
  const bool is_text = elements.front().is_string();
  if (!is_text && !elements.front().is_array()) {
    return InvalidField(absl::StrCat(field, "[0]"),
                        absl::StrCat(elements.front().Got(), "; allowed: a string, or token ids"));
  }
  taken.inputs.resize(elements.size());
  for (size_t i = 0; i < elements.size(); ++i) {
    absl::Status status =
        TakeElement(&elements[i], is_text, absl::StrCat(field, "[", i, "]"), &taken.inputs[i]);
    if (!status.ok()) return status;
  }
  return taken;
}

}  // namespace longspan
