#include "server/settings/known_variables.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/error_details.h"
#include "proto/longspan/v1/edit_distance.h"

namespace longspan {
namespace {

constexpr absl::string_view kPrefix = "LONGSPAN_";

// Variables of the same family that others read: the client, which runs in the server's container
// for its health, the scripts, in whose environment a server may be started, and the start itself,
// which leaves a word for its second half (core/runtime/runtime_environment.cc).
constexpr std::array kOfOthers = {
    "LONGSPAN_SERVER",     "LONGSPAN_KEY",          "LONGSPAN_CA",
    "LONGSPAN_CACHE",      "LONGSPAN_PRESET",       "LONGSPAN_JOBS",
    "LONGSPAN_CMAKE_ARGS", "LONGSPAN_LINT_BASE",    "LONGSPAN_IMAGE_PORT",
    "LONGSPAN_IMAGE_HTTP", "LONGSPAN_IMAGE_PYTHON", "LONGSPAN_REMOVED_SETTINGS"};

bool IsPort(absl::string_view text) {
  int port = 0;
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, &port) && port >= 1 && port <= 65535;
}

bool IsIp(absl::string_view text) {
  const bool parts = absl::StrContains(text, '.') || absl::StrContains(text, ':');
  return parts && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isxdigit(c) || c == '.' || c == ':';
         });
}

bool IsProtocol(absl::string_view text) { return text == "tcp" || text == "udp" || text == "sctp"; }

// "tcp://10.0.0.1:50051", "udp://[fd00::1]:53".
bool IsLinkUrl(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits("://", 1));
  const size_t colon = parts.second.rfind(':');
  if (!IsProtocol(parts.first) || colon == absl::string_view::npos) return false;
  absl::string_view host = parts.second.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[") && !absl::ConsumeSuffix(&host, "]")) return false;
  return IsIp(host) && IsPort(parts.second.substr(colon + 1));
}

// What follows "..._PORT_": "50051_TCP", "50051_TCP_ADDR".
bool IsPortOfLink(absl::string_view rest, absl::string_view value) {
  const std::vector<absl::string_view> words = absl::StrSplit(rest, '_');
  if (words.size() < 2 || words.size() > 3 || !IsPort(words[0]) ||
      !IsProtocol(absl::AsciiStrToLower(words[1])) || words[1] != absl::AsciiStrToUpper(words[1]))
    return false;
  if (words.size() == 2) return IsLinkUrl(value);
  if (words[2] == "PROTO") return value == absl::AsciiStrToLower(words[1]);
  if (words[2] == "PORT") return value == words[0];
  return words[2] == "ADDR" && IsIp(value);
}

std::string Nearest(absl::string_view name, const std::vector<std::string>& known) {
  // Names of any length may be set; beyond this no known one is near.
  constexpr size_t kLongest = 128;
  const absl::string_view begin = name.substr(0, kLongest);
  return *std::min_element(known.begin(), known.end(),
                           [&](const std::string& a, const std::string& b) {
                             return EditDistance(begin, a) < EditDistance(begin, b);
                           });
}

}  // namespace

bool IsServiceLink(std::string_view name, std::string_view value) {
  const absl::string_view text(name.data(), name.size());
  const absl::string_view content(value.data(), value.size());
  if (absl::EndsWith(text, "_SERVICE_HOST")) return IsIp(content);
  if (absl::EndsWith(text, "_SERVICE_PORT")) return IsPort(content);
  if (absl::StrContains(text, "_SERVICE_PORT_")) return IsPort(content);
  if (absl::EndsWith(text, "_PORT") && IsLinkUrl(content)) return true;
  const size_t port = text.rfind("_PORT_");
  if (port == absl::string_view::npos) return false;
  return IsPortOfLink(text.substr(port + 6), content);
}

absl::Status CheckVariables(const std::vector<std::string>& variables,
                            const std::vector<std::string>& known) {
  for (const std::string& variable : variables) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(variable, absl::MaxSplits('=', 1));
    const absl::string_view name = parts.first;
    if (!absl::StartsWith(name, kPrefix)) continue;
    if (std::find(known.begin(), known.end(), name) != known.end() ||
        std::find(kOfOthers.begin(), kOfOthers.end(), name) != kOfOthers.end() ||
        IsServiceLink({name.data(), name.size()}, {parts.second.data(), parts.second.size()}))
      continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "environment variable ", Quoted({name.data(), name.size()}),
        " is no setting; the nearest is ", Nearest(name, known), " (unset it, or see --help)"));
  }
  return absl::OkStatus();
}

}  // namespace longspan
