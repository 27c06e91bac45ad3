#include "server/http/request_head.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace longspan {
namespace {

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(digit));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Nullopt where a percent sign is not followed by two digits, or stands for what could make one
// path look like another: a slash, a control character.
std::optional<std::string> Decode(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out.push_back(path[i]);
      continue;
    }
    if (i + 2 >= path.size()) return std::nullopt;
    const int high = HexDigit(path[i + 1]), low = HexDigit(path[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    const int byte = high * 16 + low;
    if (byte < 0x20 || byte == 0x7f || byte == '/') return std::nullopt;
    out.push_back(static_cast<char>(byte));
    i += 2;
  }
  return out;
}

// Behind "http://host:port", where a target has it, as proxies and some clients send it.
std::string_view WithoutAuthority(std::string_view target) {
  for (const absl::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(absl::string_view(target.data(), target.size()), scheme))
      continue;
    const size_t path = target.find_first_of("/?", scheme.size());
    return path == std::string_view::npos ? "/" : target.substr(path);
  }
  return target;
}

}  // namespace

bool ReadTarget(std::string_view target, RequestHead* head) {
  const bool printable = std::all_of(target.begin(), target.end(), [](unsigned char byte) {
    return byte > 0x20 && byte < 0x7f && byte != '#';
  });
  if (target == "*" && head->method == "OPTIONS") {
    head->path.push_back('*');
    return true;
  }
  target = WithoutAuthority(target);
  const size_t question = target.find('?');
  const auto path = Decode(target.substr(0, question));
  // "http://host?query" has an empty path, which stands for "/".
  const bool empty = target.starts_with('?');
  if (!printable || !path.has_value() || (!empty && !path->starts_with('/'))) return false;
  head->path = *path;
  if (empty) head->path.push_back('/');
  if (question != std::string_view::npos) head->query = target.substr(question + 1);
  return true;
}

}  // namespace longspan
