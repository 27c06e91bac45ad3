// The accepting side alone, with a taker that keeps what it gets, as gRPC does.
#include "server/net/listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "tests/raw_socket.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::Contains;
using ::testing::Each;

// A listener on a free port, what it has handed over, and what it has turned away.
class Door {
 public:
  explicit Door(ListenerOptions options = {}, const std::string& address = "127.0.0.1:0") {
    options.on_refusal = [this](Refusal refusal, const std::string&) {
      absl::MutexLock lock(&mu_);
      refusals_.push_back(refusal);
    };
    const auto sockets = FindFreeSockets(ReadAddress(address).value());
    EXPECT_TRUE(sockets.ok()) << sockets.status();
    auto listener = Listener::Listen(*sockets, std::move(options));
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    self_ = SelfSockets(*sockets, listener_->port());
    listener_->Start([this](int fd) {
      absl::MutexLock lock(&mu_);
      taken_.push_back(fd);
    });
  }
  ~Door() {
    listener_->Stop();
    for (const int fd : taken_) close(fd);
  }

  int port() const { return listener_->port(); }
  const std::vector<SocketAddress>& self() const { return self_; }
  Listener& listener() { return *listener_; }
  // True once so many were handed over and are held.
  bool Holds(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return taken_.size() == count; };
    return mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20));
  }
  bool Refused(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return refusals_.size() >= count;
    };
    return mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20));
  }
  std::vector<Refusal> refusals() {
    absl::MutexLock lock(&mu_);
    return refusals_;
  }
  // The taker closes the oldest that it holds.
  void CloseOldest() {
    absl::MutexLock lock(&mu_);
    close(taken_.front());
    taken_.erase(taken_.begin());
  }

 private:
  std::unique_ptr<Listener> listener_;
  std::vector<SocketAddress> self_;
  absl::Mutex mu_;
  std::vector<int> taken_ ABSL_GUARDED_BY(mu_);
  std::vector<Refusal> refusals_ ABSL_GUARDED_BY(mu_);
};

bool ClosedSoon(const RawSocket& socket) {
  for (int i = 0; i < 2'000; ++i) {
    if (socket.Closed()) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

// Nothing may give way.
ListenerOptions AllInUse(int64_t most, int64_t per_client) {
  ListenerOptions options;
  options.max_connections = most;
  options.max_per_client = per_client;
  options.idle = [](int, absl::Duration) { return absl::ZeroDuration(); };
  options.min_idle = absl::Seconds(1);
  return options;
}

TEST(ListenerTest, WhereAllAreInUse_TheNextOneIsTurnedAway_UntilOneEnds) {
  Door door(AllInUse(3, 0));
  std::vector<RawSocket> held;
  for (int i = 0; i < 3; ++i) held.emplace_back(door.port());
  ASSERT_TRUE(door.Holds(3));
  EXPECT_TRUE(ClosedSoon(RawSocket(door.port())));
  EXPECT_THAT(door.refusals(), Each(Refusal::kConnections));
  door.CloseOldest();
  const RawSocket next(door.port());
  ASSERT_TRUE(door.Holds(3));
  EXPECT_FALSE(next.Closed());
  EXPECT_EQ(door.listener().connections(), 3);
}

TEST(ListenerTest, OneClientCannotTakeTheRoomOfAnother) {
  Door door(AllInUse(100, 2));
  const RawSocket first(door.port(), "127.0.0.7"), second(door.port(), "127.0.0.7");
  ASSERT_TRUE(door.Holds(2));
  EXPECT_TRUE(ClosedSoon(RawSocket(door.port(), "127.0.0.7")));
  EXPECT_THAT(door.refusals(), Each(Refusal::kConnectionsOfClient));
  const RawSocket other(door.port(), "127.0.0.8");
  EXPECT_TRUE(door.Holds(3));
}

// 64 at once, and a quarter as many each second after that.
TEST(ListenerTest, AClientThatConnectsAgainAndAgain_IsSlowedDown) {
  Door door({.max_connections = 1'000, .max_per_client = 20});
  for (int i = 0; i < 200; ++i) const RawSocket again(door.port(), "127.0.0.7");
  const RawSocket other(door.port(), "127.0.0.8");
  other.Send("x");
  EXPECT_TRUE(door.Refused(100));
  EXPECT_THAT(door.refusals(), Contains(Refusal::kTooMany));
  EXPECT_FALSE(other.Closed());
  absl::SleepFor(absl::Milliseconds(500));
  const RawSocket later(door.port(), "127.0.0.7");
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_FALSE(later.Closed());
}

TEST(ListenerTest, TheOneThatHasBeenIdleForLongestGivesWay) {
  Door door({.max_connections = 3});
  std::vector<RawSocket> held;
  for (int i = 0; i < 3; ++i) {
    held.emplace_back(door.port());
    ASSERT_TRUE(door.Holds(static_cast<size_t>(i) + 1));
  }
  const RawSocket next(door.port());
  EXPECT_TRUE(ClosedSoon(held[0]));
  EXPECT_FALSE(held[1].Closed());
  EXPECT_FALSE(held[2].Closed());
  EXPECT_FALSE(next.Closed());
  EXPECT_THAT(door.refusals(), Each(Refusal::kGaveWay));
}

TEST(ListenerTest, AClientAtItsLimitGivesUpItsOwn) {
  Door door({.max_connections = 10, .max_per_client = 1});
  const RawSocket other(door.port(), "127.0.0.8");
  ASSERT_TRUE(door.Holds(1));
  const RawSocket first(door.port(), "127.0.0.7");
  ASSERT_TRUE(door.Holds(2));
  const RawSocket second(door.port(), "127.0.0.7");
  EXPECT_TRUE(ClosedSoon(first));
  EXPECT_FALSE(other.Closed());
  EXPECT_FALSE(second.Closed());
}

// The library closes the first socket, and something else of the process gets its descriptor.
TEST(ListenerTest, ADescriptorThatIsSomethingElseByNow_IsLeftAlone) {
  Door door({.max_connections = 1, .max_age = absl::Milliseconds(1)});
  const RawSocket caller(door.port());
  ASSERT_TRUE(door.Holds(1));
  door.CloseOldest();
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  absl::SleepFor(absl::Milliseconds(1'500));  // a sweep, in which the age has passed
  EXPECT_EQ(write(ends[0], "x", 1), 1) << "the pair is not shut down";
  close(ends[0]);
  close(ends[1]);
  EXPECT_EQ(door.listener().connections(), 0);
}

TEST(ListenerTest, OldOnesAreClosed) {
  Door door({.max_age = absl::Milliseconds(100)});
  const RawSocket old(door.port());
  EXPECT_TRUE(ClosedSoon(old));
  EXPECT_THAT(door.refusals(), Each(Refusal::kTooOld));
}

TEST(ListenerTest, ItsOwnProcessGetsIn_WhateverTheLimits) {
  const TemporaryFolder folder;
  for (const std::string& address :
       {std::string("127.0.0.1:0"), std::string("0.0.0.0:0"), "unix:" + folder.path() + "/s"}) {
    SCOPED_TRACE(address);
    Door door(AllInUse(1, 1), address);
    const auto first = ConnectTo(door.self()[0], absl::Seconds(5));
    ASSERT_TRUE(first.ok() && door.Holds(1));
    {
      const auto own = OwnConnection::To(door.self()[0], absl::Seconds(5));
      ASSERT_TRUE(own.ok()) << own.status();
      EXPECT_TRUE(door.Holds(2));
    }
    const auto stranger = ConnectTo(door.self()[0], absl::Seconds(5));
    EXPECT_TRUE(door.Refused(1));
    close(*first);
    if (stranger.ok()) close(*stranger);
  }
}

TEST(ListenerTest, WithoutDescriptorsCallersAreTurnedAway_AndLaterServedAgain) {
  Door door;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const RawSocket waiting(door.port());
  ASSERT_TRUE(door.Holds(1));
  // The caller's own end is made before the last descriptors are taken.
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(fd), .rlim_max = before.rlim_max};
  std::vector<int> filler;
  for (int free = dup(fd); free >= 0 && free < fd; free = dup(fd)) filler.push_back(free);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  ASSERT_EQ(connect(fd, door.self()[0].raw(), door.self()[0].size), 0);
  const bool refused = door.Refused(1);
  setrlimit(RLIMIT_NOFILE, &before);
  for (const int one : filler) close(one);
  EXPECT_TRUE(refused);
  EXPECT_THAT(door.refusals(), Contains(Refusal::kDescriptors));
  char byte = 0;
  EXPECT_LE(recv(fd, &byte, 1, 0), 0) << "it is told, not left waiting";
  close(fd);
  const RawSocket later(door.port());
  EXPECT_TRUE(door.Holds(2));
}

TEST(ListenerTest, AfterStopThePortIsFree_AndTheSocketsFileGone) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/s";
  Door door({}, "unix:" + path);
  EXPECT_TRUE(std::filesystem::exists(path));
  door.listener().Stop();
  EXPECT_FALSE(std::filesystem::exists(path));
  Door tcp;
  const int port = tcp.port();
  tcp.listener().Stop();
  EXPECT_FALSE(RawSocket(port).connected());
}

TEST(ListenerTest, DescriptorsAreCounted) {
  EXPECT_EQ(FreeDescriptors(5), 5);
  const int64_t free = FreeDescriptors(1 << 20);
  const int fd = dup(0);
  EXPECT_EQ(FreeDescriptors(1 << 20), free - 1);
  close(fd);
}

}  // namespace
}  // namespace longspan
