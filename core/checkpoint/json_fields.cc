#include "core/checkpoint/json_fields.h"

#include "absl/strings/str_cat.h"
#include "core/checkpoint/json_file.h"

namespace longspan {

absl::StatusOr<JsonFields> JsonFields::ReadOptional(const std::string& path) {
  absl::StatusOr<nlohmann::json> object = ReadJsonFile(path);
  if (absl::IsNotFound(object.status())) return JsonFields(nlohmann::json::object(), path);
  if (!object.ok()) return object.status();
  if (!object->is_object())
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not a JSON object"));
  return JsonFields(*std::move(object), path);
}

const nlohmann::json& JsonFields::Value(const std::string& key) const {
  static const nlohmann::json kNull;
  const auto place = object_.find(key);
  return place == object_.end() ? kNull : *place;
}

bool JsonFields::Bool(const std::string& key, bool fallback) {
  const nlohmann::json& value = Value(key);
  if (value.is_boolean()) return value.get<bool>();
  if (!value.is_null()) Fail(key, "true or false");
  return fallback;
}

std::optional<int64_t> JsonFields::Size(const std::string& key) {
  const nlohmann::json& value = Value(key);
  if (value.is_null()) return std::nullopt;
  constexpr int64_t kMost = int64_t{1} << 40;
  if (value.is_number_integer() && value <= kMost && value >= 1) return value.get<int64_t>();
  Fail(key, "a whole number, 1 or more");
  return std::nullopt;
}

std::string JsonFields::Text(const std::string& key, const std::string& fallback) {
  const nlohmann::json& value = Value(key);
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_null()) Fail(key, "a string");
  return fallback;
}

void JsonFields::Fail(const std::string& key, const std::string& wanted) {
  if (!status_.ok()) return;
  std::string got = Value(key).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (got.size() > 80) got = got.substr(0, 77) + "...";
  status_ = absl::InvalidArgumentError(
      absl::StrCat(where_, ": \"", key, "\" is ", got, ", should be ", wanted));
}

}  // namespace longspan
