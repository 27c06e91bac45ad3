#include "client/server_name.h"

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/longspan/v1/address.h"

namespace longspan {
namespace {

constexpr char kAllowed[] =
    "HOST:PORT or [IPv6]:PORT with a port from 1 to 65535, dns:///HOST:PORT, ipv4:..., ipv6:..., "
    "unix:PATH or unix-abstract:NAME";

bool CanBeCalled(absl::string_view name) {
  const auto address = ReadAddress(std::string_view(name.data(), name.size()));
  return address.has_value() && (!address->has_port() || address->port > 0);
}

// The single addresses that the name holds. A name server's own address, dns://8.8.8.8/HOST:PORT,
// is taken off.
std::vector<std::string> Parts(const std::string& server) {
  absl::string_view rest = server;
  if (absl::ConsumePrefix(&rest, "dns://") && !absl::StartsWith(rest, "/")) {
    const size_t slash = rest.find('/');
    return {std::string(slash == absl::string_view::npos ? rest : rest.substr(slash + 1))};
  }
  for (const absl::string_view scheme : {"ipv4:", "ipv6:"}) {
    if (!absl::StartsWith(server, scheme)) continue;
    std::vector<std::string> parts;
    for (const absl::string_view one : absl::StrSplit(server.substr(scheme.size()), ','))
      parts.push_back(absl::StrCat(scheme, one));
    return parts;
  }
  return {server};
}

}  // namespace

absl::Status CheckServerName(const std::string& server) {
  if (absl::StartsWith(server, "xds:")) return absl::OkStatus();
  for (const std::string& part : Parts(server)) {
    if (!CanBeCalled(part))
      return absl::InvalidArgumentError(
          absl::StrCat("server is '", server, "'; allowed: ", kAllowed));
  }
  return absl::OkStatus();
}

bool IsReachedDirectly(const std::string& server) {
  for (const std::string& part : Parts(server)) {
    const auto address = ReadAddress(part);
    if (!address.has_value()) return false;
    // An address with an interface means something on this machine alone.
    const bool scoped =
        address->kind == Address::Kind::kIpv6 && absl::StrContains(address->host, "%");
    if (!scoped && !IsThisMachine(*address)) return false;
  }
  return true;
}

std::string ProxyOf(const std::string& server, const Environment& environment) {
  if (IsReachedDirectly(server)) return "";
  const auto first_set = [&](const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (auto value = environment(name); value.has_value())
        return std::pair(name, *std::move(value));
    }
    return std::pair<std::string, std::string>();
  };
  const auto [variable, uri] = first_set({"grpc_proxy", "https_proxy", "http_proxy"});
  absl::string_view rest = uri;
  if (!absl::ConsumePrefix(&rest, "http://")) return "";  // gRPC knows no other kind
  rest = rest.substr(0, rest.find('/'));
  if (const size_t at = rest.rfind('@'); at != absl::string_view::npos) rest.remove_prefix(at + 1);
  if (rest.empty()) return "";
  const auto address = ReadAddress(Parts(server).front());
  const std::string host = address.has_value() ? address->host : server;
  const std::string direct = first_set({"no_grpc_proxy", "no_proxy"}).second;
  for (const absl::string_view ending : absl::StrSplit(direct, ',', absl::SkipEmpty())) {
    if (absl::EndsWithIgnoreCase(host, ending)) return "";
  }
  return absl::StrCat("http://", rest, ", which ", variable, " names");
}

std::string ServerOfListen(const std::string& listen) {
  auto address = ReadAddress(listen);
  if (!address.has_value()) return "";
  if (IsWildcard(*address))
    address->host = address->kind == Address::Kind::kIpv4 ? "127.0.0.1" : "::1";
  const std::string server = AddressText(*address);
  return CanBeCalled(server) ? server : "";
}

}  // namespace longspan
