#include "core/checkpoint/json_file.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/bounded_file.h"

namespace longspan {
namespace {

constexpr int64_t kMaxFileBytes = 16 << 20;  // far above any published file
constexpr int kMaxDepth = 64;                // published files are nested a few levels

// The deepest nesting of brackets outside strings. It is counted before the parser runs, because
// the parser builds what it reads before anyone can object.
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

absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadBoundedFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  if (const int depth = NestingDepth(*text); depth > kMaxDepth) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": nested ", depth, " deep; at most ", kMaxDepth, " is allowed"));
  }
  try {
    return nlohmann::json::parse(*text);
  } catch (const nlohmann::json::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not valid JSON at byte ", error.byte));
  } catch (const nlohmann::json::exception&) {  // a number that no double holds
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not valid JSON: a number is out of range"));
  }
}

}  // namespace longspan
