#include "core/checkpoint/json_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/json_file.h"
#include "core/checkpoint/python_json.h"

namespace longspan {
namespace {

// What differs between the wordings.
struct Phrases {
  const char* is_wrong;   // between what a key holds and what it may hold
  const char* booleans;   // what a boolean may hold
  size_t most_shown = 0;  // bytes of a value that an error shows
};

constexpr Phrases PhrasesOf(JsonReader::Wording wording) {
  return wording == JsonReader::Wording::kAllowed ? Phrases{"; allowed: ", "true, false", 60}
                                                  : Phrases{", should be ", "true or false", 80};
}

// In this Abseil, absl::string_view is a type of its own.
absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

std::string RangeText(const JsonReader::IntegerRule& rule) {
  return absl::StrCat("an integer from ", rule.min, " to ", rule.max);
}

}  // namespace

absl::StatusOr<JsonReader> JsonReader::ReadOptional(const std::string& path, KeyRules rules) {
  absl::StatusOr<nlohmann::json> object = ReadJsonFile(path);
  if (absl::IsNotFound(object.status()))
    return JsonReader(nlohmann::json::object(), path, Wording::kShouldBe, std::move(rules));
  if (!object.ok()) return object.status();
  if (!object->is_object())
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not a JSON object"));
  return JsonReader(*std::move(object), path, Wording::kShouldBe, std::move(rules));
}

bool JsonReader::Contains(std::string_view key) const {
  CheckHonoured(key);
  return object_.contains(std::string(key));
}

const nlohmann::json& JsonReader::Value(std::string_view key) const {
  CheckHonoured(key);
  return Find(key);
}

void JsonReader::CheckHonoured(std::string_view key) const {
  if (rules_.table == nullptr || !status_.ok()) return;
  const std::string path = absl::StrCat(prefix_, Absl(key));
  if (CallsHonoured(*rules_.table, rules_.family, path)) return;
  status_ =
      absl::InternalError(absl::StrCat(source_, ": \"", path, "\" is read, but the table of ",
                                       Absl(rules_.table->file), " does not call it honoured"));
}

const nlohmann::json& JsonReader::Find(std::string_view key) const {
  static const nlohmann::json kNull;
  const auto found = object_.find(std::string(key));
  return found == object_.end() ? kNull : *found;
}

// The value as it stands in the file, cut where it is long.
std::string JsonReader::Shown(const nlohmann::json& value) const {
  const size_t most = PhrasesOf(wording_).most_shown;
  std::string text = PythonJsonText(value);
  return text.size() > most ? text.substr(0, most - 3) + "..." : text;
}

void JsonReader::Record(std::string_view key, std::string_view what) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(
      absl::StrCat(source_, ": \"", prefix_, Absl(key), "\"", Absl(what)));
}

void JsonReader::Fail(std::string_view key, std::string_view got, std::string_view allowed) {
  Record(key, absl::StrCat(" is ", Absl(got), PhrasesOf(wording_).is_wrong, Absl(allowed)));
}

void JsonReader::Fail(std::string_view key, std::string_view allowed) {
  Fail(key, Shown(Find(key)), allowed);
}

void JsonReader::FailBecause(std::string_view key, std::string_view reason) {
  Record(key, absl::StrCat(": ", Absl(reason)));
}

void JsonReader::Merge(const JsonReader& nested) { status_.Update(nested.status_); }

JsonReader JsonReader::Object(std::string_view key) {
  const nlohmann::json& value = Value(key);
  if (!value.is_null() && !value.is_object()) Fail(key, "an object");
  JsonReader nested(value.is_object() ? value : nlohmann::json::object(), source_, wording_,
                    rules_);
  nested.prefix_ = absl::StrCat(prefix_, Absl(key), ".");
  return nested;
}

int64_t JsonReader::CheckedInteger(const std::string& key, const nlohmann::json& value,
                                   const IntegerRule& rule) {
  const bool too_big =
      value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(rule.max);
  if (!value.is_number_integer() || too_big || value.get<int64_t>() < rule.min ||
      value.get<int64_t>() > rule.max) {
    Fail(key, Shown(value), RangeText(rule));
    return rule.min;
  }
  return value.get<int64_t>();
}

int64_t JsonReader::Integer(std::string_view key, const IntegerRule& rule) {
  if (Has(key)) return CheckedInteger(std::string(key), Value(key), rule);
  if (!rule.fallback.has_value()) Fail(key, "absent", RangeText(rule));
  return rule.fallback.value_or(rule.min);
}

std::optional<int64_t> JsonReader::Size(std::string_view key) {
  constexpr int64_t kMost = int64_t{1} << 40;  // more than any width or length that memory holds
  const nlohmann::json& value = Value(key);
  if (value.is_null()) return std::nullopt;
  if (value.is_number_integer() && value <= kMost && value >= 1) return value.get<int64_t>();
  Fail(key, "a whole number, 1 or more");
  return std::nullopt;
}

double JsonReader::PositiveNumber(std::string_view key, std::optional<double> fallback) {
  const nlohmann::json& value = Value(key);
  if (value.is_number() && value.get<double>() > 0 && value.get<double>() < 1e30)
    return value.get<double>();
  if (value.is_null() && fallback.has_value()) return *fallback;
  Fail(key, value.is_null() ? "absent" : Shown(value), "a number above 0");
  return 1.0;
}

bool JsonReader::Boolean(std::string_view key, bool fallback) {
  const nlohmann::json& value = Value(key);
  if (value.is_boolean()) return value.get<bool>();
  if (!value.is_null()) Fail(key, PhrasesOf(wording_).booleans);
  return fallback;
}

std::string JsonReader::String(std::string_view key, std::string_view fallback,
                               const std::vector<std::string_view>& allowed) {
  const nlohmann::json& value = Value(key);
  if (value.is_null()) return std::string(fallback);
  if (allowed.empty() && value.is_string()) return value.get<std::string>();
  std::string list;
  for (std::string_view name : allowed) {
    if (value.is_string() && value.get_ref<const std::string&>() == name) return std::string(name);
    absl::StrAppend(&list, list.empty() ? "" : ", ", "\"", Absl(name), "\"");
  }
  Fail(key, allowed.empty() ? "a string" : list);
  return std::string(fallback);
}

std::vector<int64_t> JsonReader::IntegerPerLayer(std::string_view key, int64_t count,
                                                 const IntegerRule& rule) {
  const nlohmann::json& value = Value(key);
  if (!value.is_array()) return std::vector<int64_t>(count, Integer(key, rule));
  if (static_cast<int64_t>(value.size()) != count) {
    Fail(key, absl::StrCat("a list of ", value.size()),
         absl::StrCat("a number, or a list of ", count, " (one per layer)"));
    return std::vector<int64_t>(count, rule.min);
  }
  std::vector<int64_t> numbers;
  for (const nlohmann::json& entry : value) {
    numbers.push_back(
        CheckedInteger(absl::StrCat(Absl(key), "[", numbers.size(), "]"), entry, rule));
  }
  return numbers;
}

std::vector<std::string> JsonReader::StringPerLayer(std::string_view key, int64_t count,
                                                    const std::vector<std::string_view>& allowed) {
  const nlohmann::json& value = Value(key);
  if (value.is_null()) return {};
  if (!value.is_array() || static_cast<int64_t>(value.size()) != count) {
    Fail(key, absl::StrCat("a list of ", count, " (one per layer)"));
    return std::vector<std::string>(count, std::string(allowed.front()));
  }
  std::vector<std::string> names;
  for (const nlohmann::json& entry : value) {
    const std::string position = absl::StrCat(Absl(key), "[", names.size(), "]");
    JsonReader single(nlohmann::json{{position, entry}}, source_, wording_);
    names.push_back(single.String(position, allowed.front(), allowed));
    Merge(single);
  }
  return names;
}

}  // namespace longspan
