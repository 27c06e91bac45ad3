#include "server/settings/config_file.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/error_details.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

using Values = std::map<std::string, std::string>;

absl::StatusOr<Values> ParseJsonConfig(const std::string& content, const std::string& path) {
  const auto json = nlohmann::json::parse(content, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return absl::InvalidArgumentError(absl::StrCat("config ", path, " is not a JSON object"));
  Values values;
  for (const auto& [key, value] : json.items()) {
    if (value.is_structured())
      return absl::InvalidArgumentError(
          absl::StrCat("config ", path, ": ", Quoted(key), " is not a plain value"));
    values[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return values;
}

absl::StatusOr<Values> ParseLinesConfig(const std::string& content, const std::string& path) {
  Values values;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(content, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#' || line[0] == ';' || line[0] == '[') continue;
    const std::pair<std::string, std::string> pair = absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (!absl::StrContains(line, "=")) {
      return absl::InvalidArgumentError(absl::StrCat("config ", path, " line ", number, " is ",
                                                     Quoted({line.data(), line.size()}),
                                                     "; allowed: key = value"));
    }
    const absl::string_view value =
        absl::string_view(pair.second).substr(0, pair.second.find(" # "));
    values[std::string(absl::StripAsciiWhitespace(pair.first))] =
        std::string(absl::StripAsciiWhitespace(value));
  }
  return values;
}

}  // namespace

absl::StatusOr<Values> ReadConfigFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream read;
  std::error_code ignored;
  // A folder opens as a file does, and reads as an empty one.
  if (!file || std::filesystem::is_directory(path, ignored))
    return absl::InvalidArgumentError(
        absl::StrCat("config ", path, " cannot be read; give a JSON or key = value file"));
  read << file.rdbuf();
  // Some editors begin a file with a byte order mark.
  const std::string all = read.str();
  const std::string content(absl::StripPrefix(all, "\xEF\xBB\xBF"));
  const absl::string_view trimmed = absl::StripLeadingAsciiWhitespace(content);
  return absl::StartsWith(trimmed, "{") ? ParseJsonConfig(content, path)
                                        : ParseLinesConfig(content, path);
}

}  // namespace longspan
