// The edges of a connection: where a server can listen and how its own probe finds it there, pings,
// metadata beyond the limit, streams that are open when the server drains.
#include <gmock/gmock.h>
#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/un.h>

#include <cstdlib>
#include <future>
#include <regex>

#include "server/rpc/grpc_dial.h"
#include "tests/integration/raw_http2.h"
#include "tests/integration/server_process.h"
#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::Duration kLong = absl::Seconds(20);

std::string Shell(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  pclose(pipe);
  return output;
}

std::string Healthz(int http_port) {
  return Shell(absl::StrCat("curl -s --noproxy '*' -w ' %{http_code}' http://127.0.0.1:", http_port,
                            "/healthz"));
}

bool HasIpv6() { return FindFreeSockets(ReadAddress("[::1]:0").value()).ok(); }

// A link-local address of this machine with its interface, "fe80::1%eth0"; empty where it has none.
std::string LinkLocalAddress() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  std::string found;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET6) continue;
    const auto* six = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
    if (IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr)) found = absl::StrCat(text, "%", one->ifa_name);
  }
  freeifaddrs(all);
  return found;
}

// The server's probe finds it, and what it prints is what a client can dial.
void ExpectReachable(const std::string& listen, const std::string& printed) {
  SCOPED_TRACE(listen);
  TestServer server({}, {.listen = listen, .http = "127.0.0.1:0"});
  EXPECT_THAT(server.server().grpc_address(), StartsWith(printed));
  EXPECT_THAT(server.server().grpc_address(), Not(testing::EndsWith(":0")));
  EXPECT_EQ(Healthz(server.server().http_port()), "ok\n 200");
  const auto health = server.client().Health("", kLong);
  EXPECT_TRUE(health.ok()) << health.status();
}

TEST(ListenTest, EveryFormOfIpAddressIsProbed_AndPrintedAsClientsDialIt) {
  ExpectReachable("127.0.0.1:0", "127.0.0.1:");
  ExpectReachable("127.0.0.2:0", "127.0.0.2:");
  ExpectReachable("0.0.0.0:0", "0.0.0.0:");
  ExpectReachable("localhost:0", "localhost:");
  ExpectReachable("dns:///localhost:0", "localhost:");
  ExpectReachable("dns:127.0.0.1:0", "127.0.0.1:");
  ExpectReachable("ipv4:127.0.0.2:0", "127.0.0.2:");
}

TEST(ListenTest, EveryFormOfIpv6AddressIsProbed_AndPrintedAsClientsDialIt) {
  if (!HasIpv6()) GTEST_SKIP() << "this machine has no IPv6";
  ExpectReachable("[::1]:0", "[::1]:");
  ExpectReachable("[::]:0", "[::]:");
  ExpectReachable("ipv6:[::1]:0", "[::1]:");
  const std::string link_local = LinkLocalAddress();
  if (!link_local.empty()) {
    ExpectReachable(absl::StrCat("[", link_local, "]:0"),
                    absl::StrCat("[", link_local.substr(0, link_local.find('%')), "%25"));
  }
}

TEST(ListenTest, UnixSocketsAreProbed_AndPrintedAsClientsDialThem) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/x.sock";
  ExpectReachable("unix:" + path, "unix:" + path);
  ExpectReachable("unix://" + path, "unix:" + path);
  ExpectReachable("unix:" + path + "?#%25", "unix:" + path + "%3F%23%25");
  const std::string name = absl::StrCat("longspan-test-", getpid());
  ExpectReachable("unix-abstract:" + name, "unix-abstract:" + name);
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  ExpectReachable("unix:here.sock", "unix:/");
  std::filesystem::current_path(before);  // the folder goes away
}

// With each variable by which gRPC finds a proxy set to a port where nobody listens.
TEST(ListenTest, AProxyOfTheEnvironmentIsNotAsked) {
  for (const char* variable : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    setenv(variable, "http://127.0.0.1:9", 1);
    ExpectReachable("127.0.0.1:0", "127.0.0.1:");
    ExpectReachable(absl::StrCat("unix-abstract:longspan-test-proxy-", getpid()), "unix-abstract:");
    unsetenv(variable);
  }
}

TEST(ListenTest, TlsAndMutualTlsAndKeysAreProbed) {
  const TemporaryFolder folder;
  const std::string key = folder.path() + "/key.pem", cert = folder.path() + "/cert.pem";
  Shell(absl::StrCat("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost ",
                     "-keyout ", key, " -out ", cert, " 2>&1"));
  if (!std::filesystem::exists(cert)) GTEST_SKIP() << "openssl is not installed";
  const std::string socket = "unix:" + folder.path() + "/tls.sock";
  for (const std::string& listen :
       {std::string("127.0.0.1:0"), std::string("localhost:0"), socket}) {
    for (const std::string& client_ca : {std::string(), cert}) {
      TestServer server({}, {.listen = listen,
                             .http = "127.0.0.1:0",
                             .tls_cert = cert,
                             .tls_key = key,
                             .tls_client_ca = client_ca,
                             .auth_keys_file = folder.WriteText("keys", "secret\n")});
      EXPECT_EQ(Healthz(server.server().http_port()), "ok\n 200") << listen << " " << client_ca;
    }
  }
}

// A listener that never accepts, as gRPC's is once its process has run out of file descriptors: the
// kernel completes the connection all the same.
TEST(ListenTest, ADeadListenerIsFound_WithTlsAndWithout) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(bound);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&bound), size), 0);
  ASSERT_EQ(listen(fd, 8), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size), 0);
  SocketAddress address;
  std::memcpy(&address.storage, &bound, sizeof(bound));
  address.size = size;
  for (const bool uses_tls : {false, true}) {
    const absl::Status dead = DialGrpc({address}, uses_tls, absl::Milliseconds(300));
    EXPECT_EQ(dead.code(), absl::StatusCode::kUnavailable) << uses_tls;
    EXPECT_THAT(std::string(dead.message()), HasSubstr("ipv4:127.0.0.1:"));
  }
  TestServer alive;
  const auto good = SelfSockets({address}, alive.server().grpc_port());
  EXPECT_TRUE(DialGrpc(good, false, absl::Seconds(20)).ok());
  EXPECT_FALSE(DialGrpc({good.front(), address}, false, absl::Milliseconds(300)).ok())
      << "every address must answer";
  close(fd);
}

absl::Status CreateOn(const std::string& listen) {
  Log log("json", "error");
  return Server::Create({.model = "fake", .listen = listen, .http = "off"}, FakeModel().Load(),
                        &log)
      .status();
}

TEST(ListenTest, AStartThatCannotListen_SaysWhyInOneLine) {
  const TemporaryFolder folder;
  const auto error = [](const std::string& listen) {
    const std::string message(CreateOn(listen).message());
    EXPECT_THAT(message, StartsWith("listen: cannot listen on " + listen + ": "));
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    return message;
  };
  TestServer other;
  EXPECT_THAT(error(other.address()), HasSubstr("Address already in use"));
  EXPECT_THAT(error("192.0.2.77:0"), HasSubstr("Cannot assign requested address"));
  EXPECT_THAT(error("no-such-host.invalid:0"), HasSubstr("host no-such-host.invalid: "));
  EXPECT_THAT(error("unix:" + folder.path() + "/missing/x.sock"),
              HasSubstr("folder " + folder.path() + "/missing: No such file or directory"));
  EXPECT_THAT(error("unix:" + folder.WriteText("file", "text")),
              HasSubstr("the file exists and is no socket"));
  EXPECT_THAT(error("unix:" + folder.path() + "/file/x.sock"), HasSubstr("Not a directory"));
  if (geteuid() != 0) {
    std::filesystem::create_directory(folder.path() + "/closed");
    std::filesystem::permissions(folder.path() + "/closed", std::filesystem::perms::owner_read);
    EXPECT_THAT(error("unix:" + folder.path() + "/closed/x.sock"), HasSubstr("Permission denied"));
  }
  EXPECT_EQ(CreateOn("unix:/" + std::string(107, 'x')).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ListenTest, ASocketFileIsTakenOverFromADeadServer_NotFromALivingOne) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/x.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(fd);  // as a killed process leaves it
  ASSERT_TRUE(std::filesystem::exists(path));
  TestServer server({}, {.listen = "unix:" + path});
  EXPECT_THAT(std::string(CreateOn("unix:" + path).message()), HasSubstr("Address already in use"));
  EXPECT_TRUE(server.client().Health("", kLong).ok()) << "the first server still has its socket";
}

TEST(ListenTest, TheProcessRefusesABadAddress_WithCode2) {
  for (const std::string listen : {"127.0.0.1:99999", "127.0.0.1", ":50051", "unix:"}) {
    EXPECT_EQ(ServerProcess({"--model", "m", "--listen", listen}).Wait(), 2) << listen;
    EXPECT_EQ(ServerProcess({"--model", "m", "--http", listen}).Wait(), 2) << listen;
  }
}

// The first ping of a connection is free and ten may come too early. So the one that comes after
// the interval must not count, or it would be one too many; and the next early one is.
TEST(PingTest, EveryTenSecondsIsFine_WithACallAndWithout_AFloodIsNot) {
  FakeModel fake;
  fake.gate->Close();
  TestServer server(fake);
  RawHttp2 busy(server.server().grpc_port()), idle(server.server().grpc_port());
  busy.StartCall("/longspan.v1.EncoderService/Encode", IdsRequest({{1, 2, 3}}).SerializeAsString());
  absl::SleepFor(absl::Milliseconds(200));  // the call is there
  for (RawHttp2* connection : {&busy, &idle}) {
    for (int i = 0; i < 11; ++i)
      ASSERT_TRUE(connection->Ping()) << "ping " << i << ": " << connection->go_away();
  }
  absl::SleepFor(absl::Milliseconds(5'100));  // half of the 10 s that clients are promised
  for (RawHttp2* connection : {&busy, &idle}) {
    EXPECT_TRUE(connection->Ping()) << connection->go_away();
    bool open = true;
    for (int i = 0; i < 100 && open; ++i) open = connection->Ping();
    EXPECT_FALSE(open);
    EXPECT_EQ(connection->go_away(), "too_many_pings");
  }
  fake.gate->Open();
}

TEST(MetadataTest, BeyondTheLimit_EveryCallNamesLimitAndSize) {
  TestServer server;
  const auto call = [&](size_t bytes, const auto& send) {
    grpc::ClientContext context;
    server.client().Prepare(&context, kLong);
    context.AddMetadata("x-blob", std::string(bytes, 'a'));
    return send(&context);
  };
  auto& stub = server.client().stub();
  const auto info = [&](grpc::ClientContext* context) {
    v1::GetModelInfoResponse response;
    return stub.GetModelInfo(context, {}, &response);
  };
  const auto encode = [&](grpc::ClientContext* context) {
    v1::EncodeResponse response;
    return stub.Encode(context, IdsRequest({{1}}), &response);
  };
  const auto tokens = [&](grpc::ClientContext* context) {
    v1::EncodeTokensResponse response;
    const auto reader = stub.EncodeTokens(context, {});
    while (reader->Read(&response)) {
    }
    return reader->Finish();
  };
  const auto stream = [&](grpc::ClientContext* context) {
    const auto both = stub.EncodeStream(context);
    both->WritesDone();
    return both->Finish();
  };
  const auto tokenize = [&](grpc::ClientContext* context) {
    v1::TokenizeResponse response;
    return stub.Tokenize(context, {}, &response);
  };
  EXPECT_TRUE(call(7'900, info).ok());
  EXPECT_TRUE(call(7'900, encode).ok());
  for (const size_t bytes : {size_t{8'192}, size_t{20'000}, size_t{60'000}}) {
    for (const grpc::Status& status : {call(bytes, info), call(bytes, encode), call(bytes, tokens),
                                       call(bytes, stream), call(bytes, tokenize)}) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_THAT(status.error_message(), HasSubstr("bytes; allowed: at most 8192"));
      const std::string message = status.error_message();
      std::smatch size;
      ASSERT_TRUE(std::regex_search(message, size, std::regex("has ([0-9]+) bytes"))) << message;
      EXPECT_GT(std::stoul(size[1]), bytes);
      EXPECT_LT(std::stoul(size[1]), bytes + 500);
    }
  }
}

using Stream = grpc::ClientReaderWriter<v1::EncodeStreamRequest, v1::EncodeStreamResponse>;

bool Send(Stream* stream, uint32_t id) {
  v1::EncodeStreamRequest request;
  request.mutable_input()->set_id(absl::StrCat(id));
  FillIds({id}, request.mutable_input());
  return stream->Write(request);
}

void ExpectDraining(Stream* stream) {
  v1::EncodeStreamResponse response;
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("draining"));
}

TEST(DrainTest, IdleStreamsEndAtOnce_WithUnavailable) {
  TestServer server;
  grpc::ClientContext first, second;
  server.client().Prepare(&first, absl::Seconds(120));
  server.client().Prepare(&second, absl::Seconds(120));
  const auto used = server.client().stub().EncodeStream(&first);
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(Send(used.get(), 7) && used->Read(&response));
  const auto unused = server.client().stub().EncodeStream(&second);
  absl::SleepFor(absl::Milliseconds(200));  // it is there, and says nothing
  const absl::Time start = absl::Now();
  EXPECT_TRUE(server.server().Drain());
  EXPECT_LT(absl::Now() - start, absl::Seconds(10)) << "an idle stream does not hold the drain";
  ExpectDraining(used.get());
  ExpectDraining(unused.get());
}

TEST(DrainTest, AStreamWithWorkInFlight_GetsItsAnswersFirst) {
  FakeModel fake;
  fake.gate->Close();
  TestServer server(fake);
  grpc::ClientContext context;
  server.client().Prepare(&context, absl::Seconds(120));
  const auto stream = server.client().stub().EncodeStream(&context);
  for (uint32_t id = 1; id <= 3; ++id) ASSERT_TRUE(Send(stream.get(), id));
  absl::SleepFor(absl::Milliseconds(200));  // they are read and in work
  auto drained = std::async(std::launch::async, [&] { return server.server().Drain(); });
  absl::SleepFor(absl::Milliseconds(200));
  fake.gate->Open();
  v1::EncodeStreamResponse response;
  for (uint32_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.encoding().status().code(), 0) << response.encoding().status().message();
  }
  ExpectDraining(stream.get());
  const absl::Time start = absl::Now();
  EXPECT_TRUE(drained.get());
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

}  // namespace
}  // namespace longspan
