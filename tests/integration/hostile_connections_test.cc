// What one client may do to a connection, and what that costs the others: nothing. Each attack
// comes from an address of its own, 127.0.0.66, and has to end with its connection closed, while a
// caller at 127.0.0.1 goes on being answered on the connection that it had before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "server/rpc/transport_guard.h"
#include "tests/integration/server_process.h"
#include "tests/integration/test_server.h"
#include "tests/raw_socket.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

constexpr char kAttacker[] = "127.0.0.66";
constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPing = 6,
  kContinuation = 9
};
constexpr uint8_t kEndHeaders = 4;

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& body = "") {
  std::string out;
  for (int shift = 16; shift >= 0; shift -= 8) out += static_cast<char>(body.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(stream >> shift);
  return out + body;
}

std::string CallHeaders() {
  std::string block;
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {":method", "POST"},
           {":scheme", "http"},
           {":path", "/longspan.v1.EncoderService/Encode"},
           {":authority", "test"},
           {"te", "trailers"},
           {"content-type", "application/grpc"}}) {
    block += '\0';
    block += static_cast<char>(name.size()) + name + static_cast<char>(value.size()) + value;
  }
  return block;
}

// An attack: the bytes of its n-th step.
struct Attack {
  const char* name;
  std::function<std::string(uint32_t n)> step;
  Abuse found_as;
};

// A header block that begins with `first` and goes on with 0x80 for ever, `bytes` in each frame.
Attack EndlessInteger(const char* name, const std::string& first, size_t bytes) {
  return {name,
          [first, bytes](uint32_t n) {
            return n == 0 ? Frame(kHeaders, 0, 1, first)
                          : Frame(kContinuation, 0, 1, std::string(bytes, '\x80'));
          },
          Abuse::kHeaderBlock};
}

Attack Flood(const char* name, const std::string& frame, Abuse found_as) {
  return {name,
          [frame](uint32_t n) {
            std::string many = n == 0 ? Frame(kHeaders, kEndHeaders, 1, CallHeaders()) : "";
            for (int i = 0; i < 500; ++i) many += frame;
            return many;
          },
          found_as};
}

std::vector<Attack> Attacks() {
  const std::string nul(1, '\0');
  return {
      EndlessInteger("name length", nul + "\x7f", 16'000),
      EndlessInteger("value length",
                     nul + "\x01"
                           "a\x7f",
                     16'000),
      EndlessInteger("index", "\xff", 16'000),
      EndlessInteger("indexed name", "\x7f", 16'000),
      EndlessInteger("table size", "\x3f", 16'000),
      EndlessInteger("Huffman string of 2^28 bytes",
                     nul + "\x01"
                           "a\xff\xff\xff\xff\x07",
                     16'000),
      EndlessInteger("tiny frames", nul + "\x7f", 1),
      EndlessInteger("empty frames", nul + "\x7f", 0),
      {"rapid reset",
       [](uint32_t n) {
         std::string calls;
         for (uint32_t i = 0; i < 200; ++i) {
           const uint32_t stream = 2 * (200 * n + i) + 1;
           calls += Frame(kHeaders, kEndHeaders, stream, CallHeaders()) +
                    Frame(kReset, 0, stream, std::string("\0\0\0\x08", 4));
         }
         return calls;
       },
       Abuse::kResets},
      Flood("RST_STREAM", Frame(kReset, 0, 3, std::string("\0\0\0\x08", 4)), Abuse::kResets),
      Flood("SETTINGS", Frame(kSettings, 0, 0, std::string("\0\4\0\0\xff\xff", 6)),
            Abuse::kIdleFrames),
      Flood("answers to no ping", Frame(kPing, 1, 0, "12345678"), Abuse::kIdleFrames),
      Flood("PRIORITY", Frame(kPriority, 0, 3, std::string("\0\0\0\0\x10", 5)), Abuse::kIdleFrames),
      Flood("empty DATA", Frame(kData, 0, 1), Abuse::kIdleFrames),
      Flood("unknown frames", Frame(0xAB, 0, 0, "x"), Abuse::kIdleFrames),
  };
}

// Bytes to the server, plain or in TLS.
class Sender {
 public:
  Sender(int port, bool uses_tls) : socket_(port, kAttacker) {
    if (!uses_tls) return;
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a closed connection
    context_.reset(SSL_CTX_new(TLS_client_method()));
    constexpr unsigned char kHttp2[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(context_.get(), kHttp2, sizeof(kHttp2));
    tls_.reset(SSL_new(context_.get()));
    SSL_set_fd(tls_.get(), socket_.fd());
    EXPECT_EQ(SSL_connect(tls_.get()), 1);
  }
  bool Send(const std::string& bytes) {
    return tls_ == nullptr
               ? socket_.Send(bytes)
               : SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
  }
  bool Closed() const { return socket_.Closed(); }

 private:
  RawSocket socket_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, &SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{nullptr, &SSL_free};
};

// Whether the server closes the attack's connection before 20 MB have been sent.
bool EndsInAClose(const Attack& attack, int port, bool uses_tls = false) {
  Sender socket(port, uses_tls);
  if (!socket.Send(kPreface + Frame(kSettings, 0, 0))) return true;
  size_t sent = 0;
  for (uint32_t n = 0; sent < 20'000'000; ++n) {
    const std::string bytes = attack.step(n);
    if (!socket.Send(bytes) || socket.Closed()) return true;
    sent += bytes.size() + 100;
  }
  for (int i = 0; i < 300; ++i) {
    if (socket.Closed()) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

// What the guard has closed connections for, from now on.
class Verdicts {
 public:
  Verdicts() {
    transport_guard::SetObserver([this](Abuse abuse, int, const std::string& client) {
      absl::MutexLock lock(&mu_);
      EXPECT_THAT(client, HasSubstr(kAttacker));
      last_ = abuse;
    });
  }
  ~Verdicts() { transport_guard::SetObserver({}); }
  std::optional<Abuse> Take() {
    absl::MutexLock lock(&mu_);
    return std::exchange(last_, std::nullopt);
  }

 private:
  absl::Mutex mu_;
  std::optional<Abuse> last_ ABSL_GUARDED_BY(mu_);
};

TEST(HostileConnectionTest, TheGuardIsInForce) {
  EXPECT_TRUE(transport_guard::Supported());
  const int64_t before = transport_guard::transports();
  TestServer server;
  EXPECT_TRUE(server.client().Health("", absl::Seconds(20)).ok());
  EXPECT_GT(transport_guard::transports(), before);
}

TEST(HostileConnectionTest, EachAttackEndsItsConnection_AndNobodyElses) {
  TestServer server;
  Verdicts verdicts;
  ASSERT_TRUE(CallEncode(server.client(), IdsRequest({{1, 2}})).status.ok());
  for (const Attack& attack : Attacks()) {
    SCOPED_TRACE(attack.name);
    EXPECT_TRUE(EndsInAClose(attack, server.server().grpc_port()));
    const auto verdict = verdicts.Take();
    ASSERT_TRUE(verdict.has_value());
    // Calls that are reset faster than they are cleaned up reach the bound of streams first.
    EXPECT_TRUE(*verdict == attack.found_as ||
                (attack.found_as == Abuse::kResets && *verdict == Abuse::kStreams))
        << AbuseName(*verdict);
    EXPECT_TRUE(CallEncode(server.client(), IdsRequest({{1, 2}})).status.ok());
  }
}

TEST(HostileConnectionTest, BehindTlsToo) {
  const TemporaryFolder folder;
  const std::string key = folder.path() + "/key.pem", cert = folder.path() + "/cert.pem";
  const std::string make =
      "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
      "-keyout " +
      key + " -out " + cert + " 2>/dev/null";
  if (std::system(make.c_str()) != 0) GTEST_SKIP() << "openssl is not installed";
  TestServer server({}, {.tls_cert = cert, .tls_key = key});
  Verdicts verdicts;
  for (const Attack& attack : Attacks()) {
    if (attack.found_as != Abuse::kHeaderBlock) continue;
    SCOPED_TRACE(attack.name);
    EXPECT_TRUE(EndsInAClose(attack, server.server().grpc_port(), /*uses_tls=*/true));
    EXPECT_EQ(verdicts.Take(), Abuse::kHeaderBlock);
  }
}

// Two connections send a header integer that never ends, as fast as they can and again and again.
TEST(HostileConnectionTest, AnEndlessInteger_DelaysNobody) {
  TestServer server;
  std::atomic<bool> stop{false};
  std::vector<std::thread> attackers;
  for (int i = 0; i < 2; ++i) {
    attackers.emplace_back([&] {
      while (!stop) EndsInAClose(Attacks()[1], server.server().grpc_port());
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(CallEncode(server.client(), IdsRequest({{1, 2}}), absl::Seconds(5)).status.ok());
    const auto other = *Client::Connect({.server = server.address(), .retry = false});
    EXPECT_TRUE(other->Health("", absl::Seconds(5)).ok());
    absl::SleepFor(absl::Milliseconds(50));
  }
  stop = true;
  for (std::thread& attacker : attackers) attacker.join();
}

TEST(HostileConnectionTest, ItsAddressIsTurnedAwayForASecond) {
  TestServer server;
  const int port = server.server().grpc_port();
  ASSERT_TRUE(EndsInAClose(Attacks()[0], port));
  const RawSocket again(port, kAttacker);
  EXPECT_THAT(again.ReceiveAll(), testing::IsEmpty());
  const RawSocket other(port, "127.0.0.67");
  other.Send(kPreface + Frame(kSettings, 0, 0));
  absl::SleepFor(absl::Milliseconds(1'100));
  EXPECT_FALSE(other.Closed());
  const RawSocket later(port, kAttacker);
  later.Send(kPreface + Frame(kSettings, 0, 0));
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_FALSE(later.Closed());
}

// Few descriptors, and many that connect and say nothing, say half of a handshake, or stay idle.
TEST(HostileConnectionTest, ThreeHundredIdleConnections_DoNotSilenceASmallServer) {
  const rlimit few{.rlim_cur = 80, .rlim_max = 80};
  ServerProcess server({"--model", LONGSPAN_FIXTURES "/longformer-windows", "--replicas", "1",
                        "--threads", "1", "--drain-delay", "0s"},
                       [&few] { setrlimit(RLIMIT_NOFILE, &few); });
  const int port = server.Port();
  ASSERT_GT(port, 0);
  const auto client =
      *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
  ASSERT_TRUE(client->Health("", absl::Seconds(20)).ok());
  for (const std::string& hello :
       {std::string(), std::string("PRI * HT"), kPreface + Frame(kSettings, 0, 0)}) {
    std::vector<RawSocket> idle;
    for (int i = 0; i < 100; ++i) {
      idle.emplace_back(port, kAttacker);
      idle.back().Send(hello);
    }
    EXPECT_TRUE(client->Health("", absl::Seconds(5)).ok()) << "the connection that was there";
    const auto other =
        *Client::Connect({.server = absl::StrCat("127.0.0.1:", port), .retry = false});
    EXPECT_TRUE(other->Health("", absl::Seconds(5)).ok()) << "a new one";
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
}

}  // namespace
}  // namespace longspan
