// Address: where a server listens, or is called, as people write it. The server and the client read
// addresses by this one rule; it stands beside the contract because both know that.
//
//   HOST:PORT           a name or an IPv4 address, localhost:50051
//   [HOST]:PORT         an IPv6 address, [::1]:50051 or, with its interface, [fe80::1%eth0]:50051
//   unix:PATH           a socket in the file system, unix:/run/longspan.sock
//   unix-abstract:NAME  a socket in Linux's abstract name space
//
// In front of the first two dns:, dns:///, ipv4: and ipv6: may stand, as in gRPC's target names.
// "%41" in a path or name stands for the character of that number, as in gRPC, too.
//
// Plain values and free functions without state: thread safe.
#pragma once

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace longspan {

struct Address {
  enum class Kind { kName, kIpv4, kIpv6, kUnix, kUnixAbstract };
  Kind kind = Kind::kName;
  // A name, an IP address without brackets and with its %interface, a path, or an abstract name.
  std::string host;
  int port = 0;  // 0 to 65535; 0 for sockets

  bool has_port() const { return kind != Kind::kUnix && kind != Kind::kUnixAbstract; }
};

// Longest path or abstract name of a socket, in bytes. The kernel's field has one more, for a NUL.
inline constexpr size_t kMaxSocketPathBytes = sizeof(sockaddr_un::sun_path) - 1;

namespace address_internal {

inline int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

inline std::string PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
                        HexDigit(text[i + 2]) >= 0;
    out += escape ? static_cast<char>(16 * HexDigit(text[i + 1]) + HexDigit(text[i + 2])) : text[i];
    if (escape) i += 2;
  }
  return out;
}

// What a path of a target name may not hold as it is becomes "%41".
inline std::string PercentEncoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("-._~/@+:,=").find(c) != std::string_view::npos;
    char escaped[4];
    std::snprintf(escaped, sizeof(escaped), "%%%02X", static_cast<unsigned char>(c));
    out += plain ? std::string(1, c) : escaped;
  }
  return out;
}

// 0 to 65535 in decimal digits; -1 for anything else, such as the name of a service.
inline int ReadPort(std::string_view text) {
  if (text.empty() || text.size() > 5) return -1;
  int port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    port = 10 * port + (c - '0');
  }
  return port <= 65535 ? port : -1;
}

inline bool IsName(std::string_view host) {
  const auto fits = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  };
  return !host.empty() && host.size() <= 253 && host[0] != '.' &&
         std::all_of(host.begin(), host.end(), fits);
}

// What the kernel takes as the name of a network interface, or the digits of its index.
inline bool IsInterface(std::string_view name) {
  constexpr size_t kMaxBytes = 15;
  return !name.empty() && name.size() <= kMaxBytes && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte > ' ' && byte != 0x7f && c != '/' && c != ':' && c != '%' && c != '[';
         });
}

inline std::optional<Address> ReadIpv6(std::string_view text) {
  const size_t end = text.find(']');
  if (end == std::string_view::npos || end + 2 > text.size() || text[end + 1] != ':')
    return std::nullopt;
  std::string host(text.substr(1, end - 1));
  if (host.find('\0') != std::string::npos) return std::nullopt;  // inet_pton would stop there
  const size_t percent = host.find('%');
  if (percent != std::string::npos) {
    // gRPC decodes addresses, so "%25" is how its users write the sign of the interface.
    if (host.compare(percent, 3, "%25") == 0 && host.size() > percent + 3)
      host.erase(percent + 1, 2);
    if (!IsInterface(std::string_view(host).substr(percent + 1))) return std::nullopt;
  }
  in6_addr ignored;
  if (inet_pton(AF_INET6, host.substr(0, percent).c_str(), &ignored) != 1) return std::nullopt;
  const int port = ReadPort(text.substr(end + 2));
  if (port < 0) return std::nullopt;
  return Address{.kind = Address::Kind::kIpv6, .host = host, .port = port};
}

}  // namespace address_internal

// The address that `text` writes; nullopt where it writes none.
inline std::optional<Address> ReadAddress(std::string_view text) {
  using Kind = Address::Kind;
  const auto take = [&text](std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
  };
  for (const auto& [prefix, kind] :
       {std::pair("unix-abstract:", Kind::kUnixAbstract), std::pair("unix:", Kind::kUnix)}) {
    if (!take(prefix)) continue;
    std::string path = address_internal::PercentDecoded(text);
    // unix:///run/x is the same file as unix:/run/x.
    if (kind == Kind::kUnix && path.starts_with("//"))
      path.erase(0, path.find_first_not_of('/') - 1);
    if (path.empty() || path == "/" || path.size() > kMaxSocketPathBytes ||
        path.find('\0') != std::string::npos)
      return std::nullopt;
    return Address{.kind = kind, .host = path};
  }
  const bool only_ipv4 = take("ipv4:"), only_ipv6 = !only_ipv4 && take("ipv6:");
  if (!only_ipv4 && !only_ipv6 && take("dns:")) (void)(take("///") || take("//") || take("/"));
  if (text.starts_with("[")) {
    return only_ipv4 ? std::nullopt : address_internal::ReadIpv6(text);
  }
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || only_ipv6) return std::nullopt;
  Address address{.host = std::string(text.substr(0, colon)),
                  .port = address_internal::ReadPort(text.substr(colon + 1))};
  if (address.port < 0 || !address_internal::IsName(address.host)) return std::nullopt;
  in_addr ignored;
  if (inet_pton(AF_INET, address.host.c_str(), &ignored) == 1) {
    address.kind = Kind::kIpv4;
  } else {
    // A name whose last part is a number is a mistyped address, 127.0.0.256, and no name server
    // knows it. Short forms that the system reads, 127.1, are left to it.
    const size_t dot = address.host.find_last_of('.');
    const std::string last = dot == std::string::npos ? address.host : address.host.substr(dot + 1);
    const bool number = !last.empty() && std::all_of(last.begin(), last.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
    if (only_ipv4 || (number && inet_aton(address.host.c_str(), &ignored) == 0))
      return std::nullopt;
  }
  return address;
}

// The address as a target name of gRPC, for people too: "[::1]:50051", "unix:/run/longspan.sock".
inline std::string AddressText(const Address& address) {
  using Kind = Address::Kind;
  switch (address.kind) {
    case Kind::kUnix:
      return "unix:" + address_internal::PercentEncoded(address.host);
    case Kind::kUnixAbstract:
      return "unix-abstract:" + address_internal::PercentEncoded(address.host);
    case Kind::kIpv6: {
      std::string host = address.host;
      if (const size_t percent = host.find('%'); percent != std::string::npos)
        host.insert(percent + 1, "25");
      return "[" + host + "]:" + std::to_string(address.port);
    }
    default: {
      // A host that is called like a scheme of target names would be read as one.
      constexpr std::string_view kSchemes[] = {"dns",           "ipv4",  "ipv6", "unix",
                                               "unix-abstract", "vsock", "xds",  "google-c2p"};
      const bool like_scheme =
          std::find(std::begin(kSchemes), std::end(kSchemes), address.host) != std::end(kSchemes);
      return (like_scheme ? "dns:///" : "") + address.host + ":" + std::to_string(address.port);
    }
  }
}

// Whether the address stands for all addresses of the machine that listens.
inline bool IsWildcard(const Address& address) {
  in6_addr six;
  if (address.kind == Address::Kind::kIpv4) return address.host == "0.0.0.0";
  return address.kind == Address::Kind::kIpv6 &&
         inet_pton(AF_INET6, address.host.c_str(), &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six);
}

// Whether the address never leaves this machine: 127.0.0.0/8, ::1, localhost, a socket, and what a
// call to "all addresses" reaches. Names are not looked up.
inline bool IsThisMachine(const Address& address) {
  using Kind = Address::Kind;
  if (!address.has_port() || IsWildcard(address)) return true;
  in_addr four;
  in6_addr six;
  if (address.kind != Kind::kIpv6 && inet_aton(address.host.c_str(), &four) != 0)
    return ntohl(four.s_addr) >> 24 == 127;
  if (address.kind == Kind::kIpv6) {
    if (inet_pton(AF_INET6, address.host.substr(0, address.host.find('%')).c_str(), &six) != 1)
      return false;
    return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
  }
  std::string name = address.host;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name.ends_with('.')) name.pop_back();
  return name == "localhost" || name.ends_with(".localhost");
}

}  // namespace longspan
