// Addresses as people write them, and which of them go through a proxy.
#include "client/server_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>

#include "client/client.h"
#include "proto/longspan/v1/address.h"
#include "tests/client/fake_server.h"

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(AddressTest, ReadAddress_TakesEveryFormOfGrpc_AndWritesItBack) {
  const std::map<std::string, std::string> forms = {
      {"127.0.0.1:50051", "127.0.0.1:50051"},
      {"0.0.0.0:0", "0.0.0.0:0"},
      {"localhost:65535", "localhost:65535"},
      {"my-host_1.example.com.:00080", "my-host_1.example.com.:80"},
      {"[::1]:50051", "[::1]:50051"},
      {"[fe80::1%eth0]:1", "[fe80::1%25eth0]:1"},
      {"[fe80::1%25eth0]:1", "[fe80::1%25eth0]:1"},
      {"[fe80::1%25]:1", "[fe80::1%2525]:1"},  // interface number 25
      {"[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1"},
      {"dns:localhost:1", "localhost:1"},
      {"dns:///localhost:1", "localhost:1"},
      {"dns:///ipv4:1", "dns:///ipv4:1"},  // a host of that name
      {"xds:1", "dns:///xds:1"},
      {"ipv4:10.0.0.1:1", "10.0.0.1:1"},
      {"ipv6:[::1]:1", "[::1]:1"},
      {"unix:x.sock", "unix:x.sock"},
      {"unix:/run/x.sock", "unix:/run/x.sock"},
      {"unix:///run/x.sock", "unix:/run/x.sock"},
      {"unix:/run/a b?#%41%25", "unix:/run/a%20b%3F%23A%25"},
      {"unix-abstract:longspan", "unix-abstract:longspan"},
  };
  for (const auto& [text, written] : forms) {
    const auto address = ReadAddress(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(AddressText(*address), written);
    EXPECT_EQ(AddressText(ReadAddress(written).value()), written);
  }
}

TEST(AddressTest, ReadAddress_RefusesWhatIsNone) {
  for (const std::string text : {"",
                                 ":",
                                 ":50051",
                                 "host:",
                                 "host",
                                 "50051",
                                 "127.0.0.1",
                                 "127.0.0.1:65536",
                                 "127.0.0.1:99999",
                                 "127.0.0.1:-1",
                                 "127.0.0.1:+1",
                                 "127.0.0.1: 1",
                                 "127.0.0.1:1 ",
                                 "127.0.0.1:https",
                                 "127.0.0.1:0x1",
                                 "127.0.0.1:1e3",
                                 "127.0.0.1:4294967297",
                                 "::1:50051",
                                 "::1",
                                 "[::1]",
                                 "[::1]:",
                                 "[::1]50051",
                                 "[::1:50051",
                                 "[]:1",
                                 "[localhost]:1",
                                 "[127.0.0.1]:1",
                                 "[fe80::1%]:1",
                                 "[fe80::1%a b]:1",
                                 "[fe80::1%a/b]:1",
                                 "[fe80::1%..]:1",
                                 "[fe80::1%sixteen-letters!]:1",
                                 "127.0.0.256:1",
                                 "1.2.3.4.5:1",
                                 "a b:1",
                                 "http://host:1",
                                 "ipv4:localhost:1",
                                 "ipv4:[::1]:1",
                                 "ipv6:127.0.0.1:1",
                                 "unix:",
                                 "unix:/",
                                 "unix:///",
                                 "unix-abstract:",
                                 "vsock:1:2"}) {
    EXPECT_FALSE(ReadAddress(text).has_value()) << text;
  }
  // What the system's functions would read to its NUL only. Out of a file it may come.
  for (const char* text : {"[fe80::1#]:1", "[fe80::1#25eth0]:1", "[::#1]:1", "[fe80::1%e#h]:1",
                           "127.0.0.1#:1", "loc#alhost:1", "127.0.0.1:1#", "unix:/a#b"}) {
    std::string with_nul(text);
    std::replace(with_nul.begin(), with_nul.end(), '#', '\0');
    EXPECT_FALSE(ReadAddress(with_nul).has_value()) << text;
  }
  const std::string longest = "/" + std::string(kMaxSocketPathBytes - 1, 'x');
  EXPECT_TRUE(ReadAddress("unix:" + longest).has_value());
  EXPECT_FALSE(ReadAddress("unix:" + longest + "x").has_value());
  EXPECT_FALSE(ReadAddress("unix-abstract:" + longest + "x").has_value());
}

TEST(ServerNameTest, CheckServerName_AllowsWhatCanBeCalled) {
  for (const std::string name :
       {"host:1", "[::1]:50051", "dns:///host:50051", "dns://8.8.8.8/host:50051",
        "dns://[2001::1]:53/host:1", "ipv4:10.0.0.1:1,10.0.0.2:1", "ipv6:[::1]:1,[::2]:1",
        "unix:/x", "unix-abstract:x", "xds:///listener"}) {
    EXPECT_TRUE(CheckServerName(name).ok()) << name;
  }
  for (const std::string name :
       {"host", "host:0", "host:99999", "dns:///host", "dns://8.8.8.8/host",
        "ipv4:10.0.0.1:1,10.0.0.2", "https://host:1", "unix:"}) {
    const absl::Status status = CheckServerName(name);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("server is '" + name + "'; allowed: HOST:PORT"));
  }
}

TEST(ServerNameTest, IsReachedDirectly_KnowsLoopbackInEveryDress) {
  for (const std::string name :
       {"127.0.0.1:1", "127.255.0.2:1", "127.1:1", "localhost:1", "LocalHost.:1", "a.localhost:1",
        "[::1]:1", "[0:0:0:0:0:0:0:1]:1", "[::ffff:127.0.0.2]:1", "0.0.0.0:1", "[::]:1",
        "dns:///localhost:1", "dns://8.8.8.8/localhost:1", "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:1", "[fe80::1%eth0]:1", "unix:/x", "unix-abstract:x"}) {
    EXPECT_TRUE(IsReachedDirectly(name)) << name;
  }
  for (const std::string name :
       {"10.0.0.1:1", "128.0.0.1:1", "host:1", "localhost.example.com:1", "notlocalhost:1",
        "[::2]:1", "[::ffff:10.0.0.1]:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "xds:///localhost"}) {
    EXPECT_FALSE(IsReachedDirectly(name)) << name;
  }
}

std::string Proxy(const std::string& server,
                  const std::map<std::string, std::string>& environment) {
  return ProxyOf(server, [&](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  });
}

TEST(ServerNameTest, ProxyOf_FollowsGrpcsRule) {
  const std::string a = "http://a:1", b = "http://b:2", c = "http://c:3";
  EXPECT_EQ(Proxy("h:1", {}), "");
  EXPECT_EQ(Proxy("h:1", {{"http_proxy", c}}), "http://c:3, which http_proxy names");
  EXPECT_EQ(Proxy("h:1", {{"http_proxy", c}, {"https_proxy", b}}),
            "http://b:2, which https_proxy names");
  EXPECT_EQ(Proxy("h:1", {{"http_proxy", c}, {"https_proxy", b}, {"grpc_proxy", a}}),
            "http://a:1, which grpc_proxy names");
  EXPECT_EQ(Proxy("h:1", {{"http_proxy", c}, {"grpc_proxy", ""}}), "") << "empty = none";
  EXPECT_EQ(Proxy("h:1", {{"HTTP_PROXY", c}}), "") << "gRPC reads lower case";
  EXPECT_EQ(Proxy("h:1", {{"http_proxy", "socks5://c:3"}}), "") << "gRPC knows no other scheme";
  EXPECT_EQ(Proxy("127.0.0.1:1", {{"http_proxy", c}}), "");
  EXPECT_EQ(Proxy("unix-abstract:x", {{"http_proxy", c}}), "");
  EXPECT_EQ(Proxy("h.x.org:1", {{"http_proxy", c}, {"no_proxy", "y.org,X.org"}}), "");
  EXPECT_NE(Proxy("h.x.org:1", {{"http_proxy", c}, {"no_proxy", "x.org"}, {"no_grpc_proxy", "q"}}),
            "");
  EXPECT_THAT(Proxy("h:1", {{"http_proxy", "http://user:secret@c:3/"}}), Not(HasSubstr("secret")));
}

TEST(ServerNameTest, ServerOfListen_IsLoopbackForAllAddresses) {
  EXPECT_EQ(ServerOfListen("0.0.0.0:7"), "127.0.0.1:7");
  EXPECT_EQ(ServerOfListen("[::]:7"), "[::1]:7");
  EXPECT_EQ(ServerOfListen("10.0.0.1:7"), "10.0.0.1:7");
  EXPECT_EQ(ServerOfListen("unix:/run/x"), "unix:/run/x");
  EXPECT_EQ(ServerOfListen("0.0.0.0:0"), "");
  EXPECT_EQ(ServerOfListen("nonsense"), "");
}

// Port 9 of this machine, where nobody listens, as the proxy of everything.
class ProxyTest : public testing::TestWithParam<const char*> {
 protected:
  ProxyTest() { setenv(GetParam(), "http://127.0.0.1:9", 1); }
  ~ProxyTest() override { unsetenv(GetParam()); }
};

TEST_P(ProxyTest, ServersOnThisMachineAreReachedDirectly) {
  FakeServer server;
  const auto client = *Client::Connect({.server = server.address(), .retry = false});
  const auto health = client->Health("", absl::Seconds(20));
  EXPECT_TRUE(health.ok()) << health.status();
}

TEST_P(ProxyTest, AnErrorElsewhereNamesTheProxy) {
  const auto client = *Client::Connect(
      {.server = "192.0.2.1:50051", .proxy = "http://127.0.0.1:9, which it names", .retry = false});
  const absl::Status status = client->Health("", absl::Seconds(20)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("[by way of the proxy http://127.0.0.1:9, which it names;"));
}

INSTANTIATE_TEST_SUITE_P(Variables, ProxyTest,
                         testing::Values("grpc_proxy", "https_proxy", "http_proxy"));

}  // namespace
}  // namespace longspan
