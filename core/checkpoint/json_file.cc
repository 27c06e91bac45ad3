#include "core/checkpoint/json_file.h"

#include <cstdint>
#include <filesystem>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

constexpr int64_t kMaxFileBytes = 16 << 20;
constexpr int kMaxDepth = 64;

// Deepest nesting of brackets outside strings, counted before the parser builds anything of it.
int NestingDepth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const std::string& name) {
  if (const int depth = NestingDepth(text); depth > kMaxDepth) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": nested ", depth, " deep; at most ", kMaxDepth, " is allowed"));
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": not valid JSON at byte ", error.byte));
  } catch (const nlohmann::json::exception&) {  // a number outside double
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": not valid JSON: a number is out of range"));
  }
}

absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::not_found)
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  if (type != std::filesystem::file_type::regular)
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not a regular file"));
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error || bytes > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", bytes, " bytes; at most ", kMaxFileBytes, " are read"));
  }
  std::string text(static_cast<size_t>(bytes), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), bytes))
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
  return ParseJson(text, path);
}

}  // namespace longspan
