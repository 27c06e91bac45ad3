#include "core/models/config_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

// The value as it stands in the file, cut where it is long.
std::string Shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

std::string RangeText(const ConfigReader::IntegerRule& rule) {
  return absl::StrCat("an integer from ", rule.min, " to ", rule.max);
}

}  // namespace

const nlohmann::json* ConfigReader::Find(std::string_view key) const {
  const auto found = config_.find(std::string(key));
  return found == config_.end() || found->is_null() ? nullptr : &*found;
}

bool ConfigReader::Contains(std::string_view key) const { return Find(key) != nullptr; }

void ConfigReader::Fail(std::string_view key, std::string_view got, std::string_view allowed) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(absl::StrCat(source_, ": \"", prefix_, Absl(key), "\" is ",
                                                    Absl(got), "; allowed: ", Absl(allowed)));
}

void ConfigReader::CheckHeads(std::string_view key, int64_t hidden_size, int64_t num_heads) {
  if (hidden_size % num_heads != 0)
    Fail(key, std::to_string(hidden_size),
         absl::StrCat("multiples of the ", num_heads, " attention heads"));
}

void ConfigReader::Merge(const ConfigReader& nested) { status_.Update(nested.status_); }

int64_t ConfigReader::CheckedInteger(const std::string& key, const nlohmann::json& value,
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

int64_t ConfigReader::Integer(std::string_view key, const IntegerRule& rule) {
  const nlohmann::json* value = Find(key);
  if (value != nullptr) return CheckedInteger(std::string(key), *value, rule);
  if (!rule.fallback.has_value()) Fail(key, "absent", RangeText(rule));
  return rule.fallback.value_or(rule.min);
}

double ConfigReader::PositiveNumber(std::string_view key, std::optional<double> fallback) {
  const nlohmann::json* value = Find(key);
  if (value != nullptr && value->is_number() && value->get<double>() > 0 &&
      value->get<double>() < 1e30)
    return value->get<double>();
  if (value == nullptr && fallback.has_value()) return *fallback;
  Fail(key, value == nullptr ? "absent" : Shown(*value), "a number above 0");
  return 1.0;
}

bool ConfigReader::Boolean(std::string_view key, bool fallback) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    Fail(key, Shown(*value), "true, false");
    return fallback;
  }
  return value->get<bool>();
}

std::string ConfigReader::String(std::string_view key, std::string_view fallback,
                                 const std::vector<std::string_view>& allowed) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return std::string(fallback);
  std::string list;
  for (std::string_view name : allowed) {
    if (value->is_string() && value->get_ref<const std::string&>() == name)
      return std::string(name);
    absl::StrAppend(&list, list.empty() ? "" : ", ", "\"", Absl(name), "\"");
  }
  if (allowed.empty() && value->is_string()) return value->get<std::string>();
  Fail(key, Shown(*value), allowed.empty() ? "a string" : list);
  return std::string(fallback);
}

std::vector<int64_t> ConfigReader::IntegerPerLayer(std::string_view key, int64_t count,
                                                   const IntegerRule& rule) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr || !value->is_array())
    return std::vector<int64_t>(count, Integer(key, rule));
  if (static_cast<int64_t>(value->size()) != count) {
    Fail(key, absl::StrCat("a list of ", value->size()),
         absl::StrCat("a number, or a list of ", count, " (one per layer)"));
    return std::vector<int64_t>(count, rule.min);
  }
  std::vector<int64_t> numbers;
  for (const nlohmann::json& entry : *value) {
    numbers.push_back(
        CheckedInteger(absl::StrCat(Absl(key), "[", numbers.size(), "]"), entry, rule));
  }
  return numbers;
}

std::vector<std::string> ConfigReader::StringPerLayer(
    std::string_view key, int64_t count, const std::vector<std::string_view>& allowed) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return {};
  if (!value->is_array() || static_cast<int64_t>(value->size()) != count) {
    Fail(key, Shown(*value), absl::StrCat("a list of ", count, " (one per layer)"));
    return std::vector<std::string>(count, std::string(allowed.front()));
  }
  std::vector<std::string> names;
  for (const nlohmann::json& entry : *value) {
    const std::string position = absl::StrCat(Absl(key), "[", names.size(), "]");
    ConfigReader single(nlohmann::json{{position, entry}}, source_);
    names.push_back(single.String(position, allowed.front(), allowed));
    Merge(single);
  }
  return names;
}

longspan::Activation ConfigReader::ReadActivation(std::string_view key, std::string_view fallback) {
  const std::string name = String(key, fallback);
  absl::StatusOr<longspan::Activation> activation = ParseActivation(name);
  if (activation.ok()) return *activation;
  if (status_.ok()) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat(source_, ": \"", prefix_, Absl(key), "\": ", activation.status().message()));
  }
  return Activation::kNone;
}

ConfigReader ConfigReader::Object(std::string_view key) {
  const nlohmann::json* value = Find(key);
  if (value != nullptr && !value->is_object()) Fail(key, Shown(*value), "an object");
  const bool usable = value != nullptr && value->is_object();
  ConfigReader nested(usable ? *value : nlohmann::json::object(), source_);
  nested.prefix_ = absl::StrCat(prefix_, Absl(key), ".");
  return nested;
}

}  // namespace longspan
