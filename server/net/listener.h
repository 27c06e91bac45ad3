// Listener: sockets that listen, and one thread that accepts for them. It decides about a
// connection before the library behind it (gRPC, HTTP) has spent anything on it: how many there may
// be, in all and of one client, and which one gives way. It never dies of a lack of file
// descriptors or memory, as gRPC's own listener does: it turns callers away until there are some
// again.
//
// A connection belongs to the library from the moment that it is handed over, and is closed there.
// The listener remembers its descriptor with the number of its socket (inode), which no later
// socket has again soon. So it sees that a connection has been closed, and never touches another
// one that got the same descriptor.
//
// Thread safety: Start and Stop from one thread; the other methods from any thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/net/listen_address.h"

namespace longspan {

// Why a connection was closed by the listener.
enum class Refusal {
  kConnections,          // max_connections are open, and none of them may give way
  kConnectionsOfClient,  // max_per_client of this client are open, likewise
  kDescriptors,          // the process, or the machine, has no file descriptor left
  kMemory,               // the kernel has no memory for the socket
  kGaveWay,              // an open one that was not in use, for a new one
  kTooOld,               // an open one older than max_age
  kTurnedAway,           // TurnAway was called for this client a moment ago
  kTooMany,              // the client makes new ones faster than it may
};
inline constexpr size_t kNumRefusals = 8;
// "max_connections", "max_connections_per_client", "descriptors", "memory", "gave_way", "too_old",
// "turned_away", "too_many"
std::string_view RefusalName(Refusal refusal);

struct ListenerOptions {
  int64_t max_connections = 1024;  // open at once; at least 1
  // Of one address (of IPv6: one /64); 0 = no limit. An address may make so many at once
  // (and 64 in any case), and a quarter as many each second: beyond that one is closed before it
  // costs a handshake.
  int64_t max_per_client = 0;
  absl::Duration max_age = absl::InfiniteDuration();

  // For how long a connection has not been in use. Where a limit is reached, the one that has not
  // been in use for longest gives way, unless that is less than `min_idle`. `age`: since it was
  // accepted. Called on the listener's thread.
  std::function<absl::Duration(int fd, absl::Duration age)> idle = [](int, absl::Duration age) {
    return age;
  };
  absl::Duration min_idle = absl::ZeroDuration();

  // Hears of every connection that the listener closes. `client`: its address without a port.
  // Called on the listener's thread.
  std::function<void(Refusal, const std::string& client)> on_refusal = [](Refusal,
                                                                          const std::string&) {};
};

class Listener {
 public:
  // Listens on each of `sockets` (FindFreeSockets), all with one port; nothing is accepted before
  // Start. UNAVAILABLE with the system's reason.
  static absl::StatusOr<std::unique_ptr<Listener>> Listen(const std::vector<SocketAddress>& sockets,
                                                          ListenerOptions options);
  ~Listener() { Stop(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // `take` gets each accepted socket and owns it. The socket does not block and is closed in
  // children.
  void Start(std::function<void(int fd)> take);
  // Lets the client of this connection in no more for so long; connections that it has stay.
  // Without effect where there is no limit per client, which says that many callers share an
  // address. Any thread may call it, while the connection is open.
  void TurnAway(int fd, absl::Duration time);
  // Closes the listening sockets. Connections that were handed over live on.
  void Stop();

  int port() const { return port_; }  // 0 for Unix sockets
  int64_t connections() const { return open_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Connection {
    int fd = -1;
    ino_t socket = 0;
    std::string client;
    Clock::time_point accepted;
  };
  using Connections = std::list<Connection>;

  explicit Listener(ListenerOptions options);
  absl::Status Bind(const std::vector<SocketAddress>& sockets);
  void Run();
  void AcceptFrom(int listener);
  // What accept said where it gave no socket. False where accepting should rest for a while.
  bool SurviveAcceptError(int listener, int error);
  void Admit(int fd);
  // Closes the connection that has been idle for longest, of `client` where that is not empty.
  bool MakeRoom(std::string_view client);
  bool IsTurnedAway(const std::string& client);
  bool MakesTooMany(const std::string& client);
  void Refuse(int fd, Refusal why, const std::string& client);
  void Close(Connections::iterator connection, Refusal why);
  void Forget(Connections::iterator connection);
  void Sweep();
  void SweepAgain();
  void ForgetThoseThatLeft();

  const ListenerOptions options_;
  const size_t max_leaving_;
  std::vector<int> listeners_;
  std::vector<std::pair<std::string, ino_t>> files_;  // socket files, removed by Stop
  int port_ = 0;
  int wake_ = -1;   // an eventfd that ends the thread's wait
  int spare_ = -1;  // given up to accept, and close, where there is no other descriptor
  std::function<void(int fd)> take_;
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> open_{0};

  absl::Mutex mu_;
  std::unordered_map<std::string, Clock::time_point> turned_away_ ABSL_GUARDED_BY(mu_);  // until

  // The rest is used by the listener's thread alone.
  Connections connections_;  // those that were found in use lately stand at the end
  std::unordered_map<int, Connections::iterator> by_fd_;
  std::unordered_map<std::string, int64_t> of_client_;
  // How many connections a client may still make, and when that was so. Whoever has made none for a
  // while is not listed.
  struct Allowance {
    double left;
    Clock::time_point at;
  };
  std::unordered_map<std::string, Allowance> allowances_;
  Clock::time_point swept_;
  // Closed by us, and not yet by their library.
  Connections leaving_;
  std::thread thread_;  // last: it uses all of the above
};

// A connection from this process to a listener of its own, which no limit of that listener applies
// to: a server that is full must still be able to find out whether it answers. The destructor
// closes it, unless `release` took it out.
class OwnConnection {
 public:
  // UNAVAILABLE with the system's reason where there is no connection within `timeout`.
  static absl::StatusOr<OwnConnection> To(const SocketAddress& address, absl::Duration timeout);
  OwnConnection(OwnConnection&& other) noexcept;
  OwnConnection& operator=(OwnConnection&&) = delete;
  ~OwnConnection();

  int fd() const { return fd_; }
  int release();  // the descriptor belongs to the caller from now on

 private:
  OwnConnection() = default;

  int fd_ = -1;
  std::string name_;  // of its own end, as the listener will see it; empty where it has none
};

// How many descriptors this process may still open: its limit less what is open now. At most
// `enough` are looked for.
int64_t FreeDescriptors(int64_t enough);

}  // namespace longspan
