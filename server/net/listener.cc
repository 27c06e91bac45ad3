#include "server/net/listener.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace longspan {
namespace {

// How often closed connections are looked for.
constexpr int kSweepMilliseconds = 1'000;
constexpr size_t kSweptAtOnce = 256;
constexpr std::chrono::milliseconds kLeastSweepPause{50};
// How long accepting rests where the kernel has no memory, or nothing at all works. Callers wait in
// the backlog meanwhile.
constexpr int kRestMilliseconds = 50;
// Connections accepted from one socket before the next one has its turn.
constexpr int kAcceptsInTurn = 128;
// Connections that are asked, at most, whether they are in use, before a new one is refused.
constexpr int kMostAsked = 64;
// Connections that a client may make at once, however few it may have.
constexpr int64_t kLeastAtOnce = 64;
// In how many seconds a client may make as many anew.
constexpr double kSecondsForAll = 4;
// How long a new connection waits for the library to close one that gave way.
constexpr std::chrono::milliseconds kLeavingPatience{100};
// Addresses that are turned away at once.
constexpr size_t kMostTurnedAway = 10'000;
// Ports that are tried where a free one must be free on several addresses.
constexpr int kPortTries = 16;
// A peer that does not acknowledge what was sent to it for so long is gone.
constexpr unsigned kUnacknowledgedMilliseconds = 20'000;

std::string Reason(int error) { return std::strerror(error); }  // NOLINT(concurrency-mt-unsafe)

ino_t SocketNumber(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

int PortOf(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
  if (address.storage.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port);
  return 0;
}

void SetPort(int port, SocketAddress* address) {
  if (address->storage.ss_family == AF_INET)
    reinterpret_cast<sockaddr_in*>(&address->storage)->sin_port =
        htons(static_cast<uint16_t>(port));
  if (address->storage.ss_family == AF_INET6)
    reinterpret_cast<sockaddr_in6*>(&address->storage)->sin6_port =
        htons(static_cast<uint16_t>(port));
}

SocketAddress NameOf(int fd, int (*get)(int, sockaddr*, socklen_t*)) {
  SocketAddress out;
  out.size = sizeof(out.storage);
  if (get(fd, reinterpret_cast<sockaddr*>(&out.storage), &out.size) != 0) out.size = 0;
  return out;
}

std::string_view HostBytes(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr;
    return {reinterpret_cast<const char*>(&four), sizeof(four)};
  }
  if (address.storage.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr;
    return {reinterpret_cast<const char*>(&six), sizeof(six)};
  }
  return {};
}

// The address without its port: whoever has one has all ports. Of IPv6 the first half, which is
// what a single site gets.
std::string ClientOf(const SocketAddress& peer) {
  char text[INET6_ADDRSTRLEN] = "";
  if (peer.storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, HostBytes(peer).data(), text, sizeof(text));
  } else if (peer.storage.ss_family == AF_INET6) {
    in6_addr six = reinterpret_cast<const sockaddr_in6*>(&peer.storage)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
      inet_ntop(AF_INET, &six.s6_addr[12], text, sizeof(text));
    } else {
      std::memset(&six.s6_addr[8], 0, 8);
      inet_ntop(AF_INET6, &six, text, sizeof(text));
      return absl::StrCat(text, "/64");
    }
  } else {
    return "unix";
  }
  return text;
}

// Names of the near ends of OwnConnections.
class OwnNames {
 public:
  static OwnNames& Get() {
    static auto* const names = new OwnNames;
    return *names;
  }
  void Add(const std::string& name) {
    absl::MutexLock lock(&mu_);
    names_.insert(name);
  }
  void Remove(const std::string& name) {
    absl::MutexLock lock(&mu_);
    names_.erase(name);
  }
  bool Has(const std::string& name) {
    absl::MutexLock lock(&mu_);
    return names_.contains(name);
  }

 private:
  absl::Mutex mu_;
  std::multiset<std::string> names_ ABSL_GUARDED_BY(mu_);
};

// What stands for the near end of a connection inside this machine: the name of a Unix socket, or
// the port.
std::string OwnName(const SocketAddress& near_end) {
  if (near_end.size == 0) return "";
  if (near_end.storage.ss_family != AF_UNIX)
    return absl::StrCat(near_end.storage.ss_family, ":", PortOf(near_end));
  if (near_end.size <= offsetof(sockaddr_un, sun_path)) return "";
  return std::string(reinterpret_cast<const char*>(&near_end.storage), near_end.size);
}

bool IsOwn(int accepted, const SocketAddress& peer) {
  if (peer.storage.ss_family != AF_UNIX &&
      HostBytes(peer) != HostBytes(NameOf(accepted, getsockname)))
    return false;  // from another machine
  SocketAddress name = peer;
  const auto* six = reinterpret_cast<const sockaddr_in6*>(&peer.storage);
  if (peer.storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
    name.storage.ss_family = AF_INET;  // the port lies at the same place in both
  const std::string text = OwnName(name);
  return !text.empty() && OwnNames::Get().Has(text);
}

// Removes the file of a socket that nobody listens on; FindFreeSockets has looked.
void RemoveOldSocketFile(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) unlink(path.c_str());
}

}  // namespace

std::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kConnections:
      return "max_connections";
    case Refusal::kConnectionsOfClient:
      return "max_connections_per_client";
    case Refusal::kDescriptors:
      return "descriptors";
    case Refusal::kMemory:
      return "memory";
    case Refusal::kGaveWay:
      return "gave_way";
    case Refusal::kTooOld:
      return "too_old";
    case Refusal::kTurnedAway:
      return "turned_away";
    case Refusal::kTooMany:
      return "too_many";
  }
  return "unknown";
}

Listener::Listener(ListenerOptions options)
    : options_(std::move(options)),
      max_leaving_(static_cast<size_t>(std::clamp<int64_t>(options_.max_connections / 8, 1, 64))) {}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Listen(
    const std::vector<SocketAddress>& sockets, ListenerOptions options) {
  std::unique_ptr<Listener> listener(new Listener(std::move(options)));
  absl::Status status;
  for (int i = 0; i < kPortTries; ++i) {
    status = listener->Bind(sockets);
    // A port that one address gave may be taken on the next one.
    if (!absl::IsAlreadyExists(status)) break;
  }
  if (!status.ok()) return absl::UnavailableError(status.message());
  listener->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  listener->spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (listener->wake_ < 0) return absl::UnavailableError(Reason(errno));
  return listener;
}

absl::Status Listener::Bind(const std::vector<SocketAddress>& sockets) {
  for (const int fd : listeners_) close(fd);
  listeners_.clear();
  port_ = 0;
  for (SocketAddress address : sockets) {
    const bool is_unix = address.storage.ss_family == AF_UNIX;
    const bool any_port = !is_unix && PortOf(address) == 0;
    if (any_port) SetPort(port_, &address);
    const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return absl::UnavailableError(Reason(errno));
    listeners_.push_back(fd);
    const int on = 1, off = 0;
    std::string file;
    if (is_unix) {
      const char* path = reinterpret_cast<const sockaddr_un*>(&address.storage)->sun_path;
      if (path[0] != '\0') RemoveOldSocketFile(file = path);
    } else {
      // A port whose old connections have not quite ended may be taken, one with a listener not.
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
      // Accepted sockets inherit both: small answers leave at once, and gone peers are noticed.
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMilliseconds,
                 sizeof(kUnacknowledgedMilliseconds));
      if (address.storage.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (bind(fd, address.raw(), address.size) != 0 || listen(fd, SOMAXCONN) != 0) {
      const int error = errno;
      return error == EADDRINUSE && any_port && port_ != 0 ? absl::AlreadyExistsError(Reason(error))
                                                           : absl::UnavailableError(Reason(error));
    }
    if (!file.empty()) {
      struct stat status {};
      if (lstat(file.c_str(), &status) == 0) {
        // Absolute: the current folder may be another one when the file is removed.
        char* absolute = realpath(file.c_str(), nullptr);
        files_.emplace_back(absolute == nullptr ? file : absolute, status.st_ino);
        free(absolute);
      }
    }
    if (!is_unix && port_ == 0) port_ = PortOf(NameOf(fd, getsockname));
  }
  return absl::OkStatus();
}

void Listener::Start(std::function<void(int fd)> take) {
  take_ = std::move(take);
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (thread_.joinable()) {
    stopping_ = true;
    const uint64_t one = 1;
    (void)!write(wake_, &one, sizeof(one));
    thread_.join();
  }
  for (const int fd : listeners_) close(fd);
  listeners_.clear();
  for (const auto& [path, number] : files_) {
    struct stat status {};
    // Another server may have taken the path meanwhile.
    if (lstat(path.c_str(), &status) == 0 && status.st_ino == number) unlink(path.c_str());
  }
  files_.clear();
  for (int* const fd : {&wake_, &spare_}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

void Listener::Run() {
  std::vector<pollfd> polled = {{.fd = wake_, .events = POLLIN, .revents = 0}};
  for (const int fd : listeners_) polled.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  bool rest = false;
  while (!stopping_) {
    // While it rests it waits for its end alone.
    const nfds_t watched = rest ? 1 : polled.size();
    const int ready = poll(polled.data(), watched, rest ? kRestMilliseconds : kSweepMilliseconds);
    rest = false;
    if (Clock::now() - swept_ >= std::chrono::milliseconds(kSweepMilliseconds)) Sweep();
    if (ready <= 0) continue;
    for (size_t i = 1; i < watched; ++i) {
      if (polled[i].revents == 0) continue;
      for (int turn = 0; turn < kAcceptsInTurn; ++turn) {
        const int fd = accept4(polled[i].fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
          Admit(fd);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
          break;
        } else if (!SurviveAcceptError(polled[i].fd, errno)) {
          rest = true;
          break;
        }
      }
    }
  }
}

bool Listener::SurviveAcceptError(int listener, int error) {
  switch (error) {
    // The peer, the network or a packet filter ended this one; the next one may be well: see
    // accept(2).
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
      return true;
    case EMFILE:
    case ENFILE: {
      options_.on_refusal(Refusal::kDescriptors, "");
      // Without this the caller would wait in the backlog, and believe that it is connected.
      if (spare_ < 0) return false;
      close(spare_);
      const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) close(fd);
      spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
      return fd >= 0;
    }
    case ENOBUFS:
    case ENOMEM:
      options_.on_refusal(Refusal::kMemory, "");
      return false;
    default:
      return false;
  }
}

void Listener::Admit(int fd) {
  const SocketAddress peer = NameOf(fd, getpeername);
  if (peer.size == 0) {  // it has gone again
    close(fd);
    return;
  }
  // An old connection with this descriptor has ended.
  if (const auto old = by_fd_.find(fd); old != by_fd_.end()) Forget(old->second);
  if (IsOwn(fd, peer)) {
    take_(fd);
    return;
  }
  const std::string client = ClientOf(peer);
  if (IsTurnedAway(client)) return Refuse(fd, Refusal::kTurnedAway, client);
  if (options_.max_per_client > 0 && MakesTooMany(client))
    return Refuse(fd, Refusal::kTooMany, client);
  const auto mine = [&] {
    const auto found = of_client_.find(client);
    return found == of_client_.end() ? 0 : found->second;
  };
  if (options_.max_per_client > 0 && mine() >= options_.max_per_client) {
    SweepAgain();
    if (mine() >= options_.max_per_client && !MakeRoom(client))
      return Refuse(fd, Refusal::kConnectionsOfClient, client);
  }
  if (static_cast<int64_t>(connections_.size()) >= options_.max_connections) {
    SweepAgain();
    if (static_cast<int64_t>(connections_.size()) >= options_.max_connections && !MakeRoom(""))
      return Refuse(fd, Refusal::kConnections, client);
  }
  connections_.push_back(
      {.fd = fd, .socket = SocketNumber(fd), .client = client, .accepted = Clock::now()});
  by_fd_[fd] = std::prev(connections_.end());
  ++of_client_[client];
  open_ = static_cast<int64_t>(connections_.size());
  take_(fd);
}

void Listener::TurnAway(int fd, absl::Duration time) {
  if (options_.max_per_client == 0) return;
  const SocketAddress peer = NameOf(fd, getpeername);
  if (peer.size == 0) return;
  absl::MutexLock lock(&mu_);
  // Only where thousands of addresses take part in an attack.
  if (turned_away_.size() >= kMostTurnedAway) return;
  turned_away_[ClientOf(peer)] = Clock::now() + absl::ToChronoNanoseconds(time);
}

bool Listener::IsTurnedAway(const std::string& client) {
  absl::MutexLock lock(&mu_);
  const auto found = turned_away_.find(client);
  return found != turned_away_.end() && found->second > Clock::now();
}

bool Listener::MakesTooMany(const std::string& client) {
  const auto now = Clock::now();
  const auto most = static_cast<double>(std::max(options_.max_per_client, kLeastAtOnce));
  const auto known = allowances_.try_emplace(client, Allowance{most, now}).first;
  Allowance& allowance = known->second;
  const double seconds = std::chrono::duration<double>(now - allowance.at).count();
  allowance.left = std::min(most, allowance.left + seconds * most / kSecondsForAll);
  allowance.at = now;
  if (allowance.left < 1) return true;
  allowance.left -= 1;
  return false;
}

bool Listener::MakeRoom(std::string_view client) {
  // Those that were told to go still have their descriptors until their library has closed them.
  // In a flood it is behind: new connections wait for it in the backlog.
  const auto until = Clock::now() + kLeavingPatience;
  while (leaving_.size() >= max_leaving_) {
    ForgetThoseThatLeft();
    if (leaving_.size() < max_leaving_) break;
    if (stopping_ || Clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  const auto now = Clock::now();
  int asked = 0;
  auto longest = connections_.end();
  absl::Duration longest_idle = absl::ZeroDuration();
  for (auto at = connections_.begin(); at != connections_.end() && asked < kMostAsked;) {
    const auto connection = at++;
    if (!client.empty() && connection->client != client) continue;
    ++asked;
    const absl::Duration idle =
        options_.idle(connection->fd, absl::FromChrono(now - connection->accepted));
    if (idle < options_.min_idle) {
      // Those in use go to the end, so that the next search asks others.
      connections_.splice(connections_.end(), connections_, connection);
    } else if (longest == connections_.end() || idle > longest_idle) {
      longest = connection;
      longest_idle = idle;
    }
  }
  if (longest == connections_.end()) return false;
  Close(longest, Refusal::kGaveWay);
  return true;
}

void Listener::Refuse(int fd, Refusal why, const std::string& client) {
  close(fd);
  options_.on_refusal(why, client);
}

void Listener::Close(Connections::iterator connection, Refusal why) {
  // The copy keeps the socket while we look whether it is still the one that we mean.
  const int copy = fcntl(connection->fd, F_DUPFD_CLOEXEC, 0);
  if (copy >= 0) {
    if (SocketNumber(copy) == connection->socket) shutdown(copy, SHUT_RDWR);
    close(copy);
  }
  options_.on_refusal(why, connection->client);
  leaving_.push_back(*connection);
  Forget(connection);
}

void Listener::Forget(Connections::iterator connection) {
  by_fd_.erase(connection->fd);
  const auto mine = of_client_.find(connection->client);
  if (--mine->second == 0) of_client_.erase(mine);
  connections_.erase(connection);
  open_ = static_cast<int64_t>(connections_.size());
}

// Where a limit is reached: connections that have ended in the last second still count. A look at a
// few hundred takes less than what a new connection costs; a look at more is rationed.
void Listener::SweepAgain() {
  if (connections_.size() <= kSweptAtOnce || Clock::now() - swept_ >= kLeastSweepPause) Sweep();
}

void Listener::Sweep() {
  const auto now = Clock::now();
  swept_ = now;
  for (auto at = connections_.begin(); at != connections_.end();) {
    const auto connection = at++;
    if (SocketNumber(connection->fd) != connection->socket) {
      Forget(connection);
    } else if (absl::FromChrono(now - connection->accepted) > options_.max_age) {
      Close(connection, Refusal::kTooOld);
    }
  }
  ForgetThoseThatLeft();
  std::erase_if(allowances_, [now](const auto& entry) {
    return now - entry.second.at > std::chrono::duration<double>(kSecondsForAll);
  });
  absl::MutexLock lock(&mu_);
  std::erase_if(turned_away_, [now](const auto& entry) { return entry.second <= now; });
}

void Listener::ForgetThoseThatLeft() {
  leaving_.remove_if([](const Connection& connection) {
    return SocketNumber(connection.fd) != connection.socket;
  });
}

absl::StatusOr<OwnConnection> OwnConnection::To(const SocketAddress& address,
                                                absl::Duration timeout) {
  OwnConnection out;
  const auto fd = ConnectTo(address, timeout, [&out](int unconnected) {
    // The name must be known before the other side can accept. Where it cannot be had, the
    // connection is one like any other.
    SocketAddress any;
    any.storage.ss_family = 0;
    sockaddr_storage bound{};
    socklen_t size = sizeof(bound);
    int family = 0;
    socklen_t family_size = sizeof(family);
    if (getsockopt(unconnected, SOL_SOCKET, SO_DOMAIN, &family, &family_size) != 0) return;
    any.storage.ss_family = static_cast<sa_family_t>(family);
    any.size = family == AF_INET    ? sizeof(sockaddr_in)
               : family == AF_INET6 ? sizeof(sockaddr_in6)
                                    : sizeof(sa_family_t);  // the kernel finds a name
    const int on = 1;
    setsockopt(unconnected, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(unconnected, any.raw(), any.size) != 0) return;
    if (getsockname(unconnected, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return;
    out.name_ = OwnName({.storage = bound, .size = size});
    if (!out.name_.empty()) OwnNames::Get().Add(out.name_);
  });
  if (!fd.ok()) return fd.status();
  out.fd_ = *fd;
  return out;
}

OwnConnection::OwnConnection(OwnConnection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), name_(std::exchange(other.name_, "")) {}

OwnConnection::~OwnConnection() {
  if (!name_.empty()) OwnNames::Get().Remove(name_);
  if (fd_ >= 0) close(fd_);
}

int OwnConnection::release() { return std::exchange(fd_, -1); }

int64_t FreeDescriptors(int64_t enough) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const auto most = static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, rlim_t{1} << 30));
  // Descriptors are given out from the lowest free number, so those in use lie below the limit.
  int64_t used = 0;
  if (DIR* const folder = opendir("/proc/self/fd"); folder != nullptr) {
    while (readdir(folder) != nullptr) ++used;  // NOLINT(concurrency-mt-unsafe): a folder of ours
    closedir(folder);
    used = std::max<int64_t>(0, used - 3);  // ".", ".." and the folder itself
  } else {
    // Without /proc: asked one by one.
    for (int64_t fd = 0; fd < most && fd - used < enough; ++fd)
      used += fcntl(static_cast<int>(fd), F_GETFD) >= 0 ? 1 : 0;
  }
  return std::clamp<int64_t>(most - used, 0, enough);
}

}  // namespace longspan
