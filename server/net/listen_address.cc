#include "server/net/listen_address.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// How long the server waits for its own loopback address, when it has just begun to listen there.
constexpr absl::Duration kSelfConnectTimeout = absl::Seconds(2);

// Closes a file descriptor.
class Closer {
 public:
  explicit Closer(int fd) : fd_(fd) {}
  ~Closer() {
    if (fd_ >= 0) close(fd_);
  }
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

 private:
  const int fd_;
};

std::string Reason(int error) { return std::strerror(error); }  // NOLINT(concurrency-mt-unsafe)

SocketAddress UnixSocket(const Address& address) {
  SocketAddress out;
  auto* unix_address = reinterpret_cast<sockaddr_un*>(&out.storage);
  unix_address->sun_family = AF_UNIX;
  // An abstract name has a NUL in front and none behind, a path the other way around.
  const size_t first = address.kind == Address::Kind::kUnixAbstract ? 1 : 0;
  std::memcpy(unix_address->sun_path + first, address.host.data(), address.host.size());
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.host.size() + 1);
  return out;
}

bool IsAnyAddress(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET)
    return reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr.s_addr == INADDR_ANY;
  return address.storage.ss_family == AF_INET6 &&
         IN6_IS_ADDR_UNSPECIFIED(
             &reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr);
}

SocketAddress IpSocket(int family, int port) {
  SocketAddress out;
  out.storage.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&out.storage)->sin_port = htons(static_cast<uint16_t>(port));
    out.size = sizeof(sockaddr_in);
  } else {
    reinterpret_cast<sockaddr_in6*>(&out.storage)->sin6_port = htons(static_cast<uint16_t>(port));
    out.size = sizeof(sockaddr_in6);
  }
  return out;
}

// Binds a socket and closes it again; 0 or the error. Like the servers, it may take a port whose
// old connections have not quite ended.
int TryBind(const SocketAddress& address) {
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const Closer closer(fd);
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (IsAnyAddress(address) && address.storage.ss_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (bind(fd, address.raw(), address.size) != 0) return errno;
  // A second listener on the port of another may still be bound where both set SO_REUSEADDR.
  return address.storage.ss_family != AF_UNIX && listen(fd, 1) != 0 ? errno : 0;
}

// Connects within `timeout`; 0 with the connected socket in `fd`, or the error.
int Connect(const SocketAddress& address, absl::Duration timeout, int* fd,
            const std::function<void(int)>& before = {}) {
  *fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*fd < 0) return errno;
  if (before) before(*fd);
  int error = connect(*fd, address.raw(), address.size) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd ready{.fd = *fd, .events = POLLOUT, .revents = 0};
    const auto milliseconds = static_cast<int>(absl::ToInt64Milliseconds(timeout));
    error = poll(&ready, 1, milliseconds) == 1 ? 0 : ETIMEDOUT;
    socklen_t size = sizeof(error);
    if (error == 0) getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) close(*fd);
  return error;
}

// Whether the path can become a socket. The file of a server that was killed stays behind and
// refuses connections; gRPC removes such a file, but it would remove that of a living server too.
absl::Status CheckSocketFile(const std::string& path, const SocketAddress& address) {
  struct stat status {};
  if (lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode))
      return absl::UnavailableError("the file exists and is no socket");
    int fd = -1;
    const int error = Connect(address, kSelfConnectTimeout, &fd);
    if (error == 0) close(fd);
    if (error != ECONNREFUSED)
      return absl::UnavailableError(Reason(error == EACCES ? EACCES : EADDRINUSE));
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (stat(folder.c_str(), &status) != 0)
    return absl::UnavailableError(absl::StrCat("folder ", folder, ": ", Reason(errno)));
  if (!S_ISDIR(status.st_mode))
    return absl::UnavailableError(absl::StrCat("folder ", folder, ": ", Reason(ENOTDIR)));
  if (access(folder.c_str(), W_OK | X_OK) != 0)
    return absl::UnavailableError(absl::StrCat("folder ", folder, ": ", Reason(errno)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SocketAddress>> LookUp(const Address& address) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0)
    return absl::UnavailableError(absl::StrCat("host ", address.host, ": ", gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, &freeaddrinfo);
  std::vector<SocketAddress> sockets;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    SocketAddress socket;
    socket.size = one->ai_addrlen;
    std::memcpy(&socket.storage, one->ai_addr, one->ai_addrlen);
    sockets.push_back(socket);
  }
  return sockets;
}

}  // namespace

std::string TargetOf(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  switch (address.storage.ss_family) {
    case AF_INET: {
      const auto* four = reinterpret_cast<const sockaddr_in*>(&address.storage);
      inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
      return absl::StrCat("ipv4:", text, ":", ntohs(four->sin_port));
    }
    case AF_INET6: {
      const auto* six = reinterpret_cast<const sockaddr_in6*>(&address.storage);
      inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
      const std::string scope =
          six->sin6_scope_id == 0 ? "" : absl::StrCat("%25", six->sin6_scope_id);
      return absl::StrCat("ipv6:[", text, scope, "]:", ntohs(six->sin6_port));
    }
    default: {
      const auto* path = reinterpret_cast<const sockaddr_un*>(&address.storage)->sun_path;
      const size_t length = address.size - offsetof(sockaddr_un, sun_path) - 1;
      return path[0] == '\0'
                 ? AddressText({.kind = Address::Kind::kUnixAbstract,
                                .host = std::string(path + 1, length)})
                 : AddressText({.kind = Address::Kind::kUnix, .host = std::string(path, length)});
    }
  }
}

absl::StatusOr<std::vector<SocketAddress>> FindFreeSockets(const Address& address) {
  if (address.kind == Address::Kind::kUnix) {
    const SocketAddress socket = UnixSocket(address);
    const std::string path = std::filesystem::absolute(address.host).string();
    if (absl::Status status = CheckSocketFile(path, socket); !status.ok()) return status;
    return std::vector<SocketAddress>{socket};
  }
  std::vector<SocketAddress> wanted;
  if (address.kind == Address::Kind::kUnixAbstract) {
    wanted = {UnixSocket(address)};
  } else if (IsWildcard(address)) {
    // Where the machine has IPv6, one socket takes both kinds of callers.
    wanted = {IpSocket(TryBind(IpSocket(AF_INET6, address.port)) == 0 ? AF_INET6 : AF_INET,
                       address.port)};
  } else {
    auto found = LookUp(address);
    if (!found.ok()) return found.status();
    wanted = *std::move(found);
  }
  std::vector<SocketAddress> free;
  int why_none = 0;
  for (const SocketAddress& socket : wanted) {
    const int error = TryBind(socket);
    if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
      why_none = error;
    } else if (error != 0) {
      return absl::UnavailableError(Reason(error));
    } else {
      free.push_back(socket);
    }
  }
  if (free.empty()) return absl::UnavailableError(Reason(why_none));
  return free;
}

std::vector<SocketAddress> SelfSockets(std::vector<SocketAddress> sockets, int port) {
  for (SocketAddress& socket : sockets) {
    if (IsAnyAddress(socket)) {
      SocketAddress four = IpSocket(AF_INET, port), six = IpSocket(AF_INET6, port);
      reinterpret_cast<sockaddr_in*>(&four.storage)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      reinterpret_cast<sockaddr_in6*>(&six.storage)->sin6_addr = in6addr_loopback;
      const auto connected = ConnectTo(four, kSelfConnectTimeout);
      if (connected.ok()) close(*connected);
      socket = connected.ok() ? four : six;
    } else if (socket.storage.ss_family == AF_INET) {
      reinterpret_cast<sockaddr_in*>(&socket.storage)->sin_port =
          htons(static_cast<uint16_t>(port));
    } else if (socket.storage.ss_family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(&socket.storage)->sin6_port =
          htons(static_cast<uint16_t>(port));
    }
  }
  return sockets;
}

absl::StatusOr<int> ConnectTo(const SocketAddress& address, absl::Duration timeout,
                              const std::function<void(int)>& before) {
  int fd = -1;
  const int error = Connect(address, timeout, &fd, before);
  if (error != 0) return absl::UnavailableError(Reason(error));
  return fd;
}

}  // namespace longspan
