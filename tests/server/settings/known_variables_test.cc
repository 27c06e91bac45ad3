#include "server/settings/known_variables.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/server_options.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

absl::Status Parse(const std::vector<std::string>& variables) {
  return ParseServerOptions(
             {"--model", "m"}, [](const std::string&) { return std::nullopt; }, variables)
      .status();
}

TEST(KnownVariablesTest, AMisspeltSettingIsRefused_AndTheNearestIsNamed) {
  const absl::Status status =
      Parse({"PATH=/bin", "LONGSPAN_MODEL=m", "LONGSPAN_MAX_BATCH_TOKEN=16384"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "environment variable 'LONGSPAN_MAX_BATCH_TOKEN' is no setting; the nearest is "
            "LONGSPAN_MAX_BATCH_TOKENS (unset it, or see --help)");
  EXPECT_THAT(std::string(Parse({"LONGSPAN_PORT=50051"}).message()), HasSubstr("LONGSPAN_"));
  EXPECT_THAT(std::string(Parse({"LONGSPAN_HTTP_PORT=8080"}).message()),
              HasSubstr("LONGSPAN_HTTP"));
  EXPECT_FALSE(Parse({"LONGSPAN_=1"}).ok());
}

TEST(KnownVariablesTest, NoValueIsTold_AndALongNameIsCut) {
  const std::string message(Parse({absl::StrCat("LONGSPAN_KEYS=", "s3cret")}).message());
  EXPECT_THAT(message, Not(HasSubstr("s3cret")));
  const absl::Status status = Parse({"LONGSPAN_" + std::string(1 << 20, 'X') + "=1"});
  EXPECT_LT(status.message().size(), 300u);
}

TEST(KnownVariablesTest, EverySetting_TheClients_AndTheScripts_AreKnown) {
  for (const char* name :
       {"LONGSPAN_CONFIG", "LONGSPAN_MODEL", "LONGSPAN_LISTEN", "LONGSPAN_HTTP",
        "LONGSPAN_MAX_QUEUE_TOKENS", "LONGSPAN_SERVER", "LONGSPAN_KEY", "LONGSPAN_CA",
        "LONGSPAN_CACHE", "LONGSPAN_PRESET", "LONGSPAN_JOBS", "LONGSPAN_CMAKE_ARGS"})
    EXPECT_TRUE(Parse({absl::StrCat(name, "=1")}).ok()) << name;
}

// A shell in which ./dev runs exports what it likes; the server that ./dev run starts must not
// mind.
TEST(KnownVariablesTest, EveryVariableOfTheScriptsIsKnown) {
  size_t found = 0;
  for (const char* script : {"dev", "deploy/image.sh", "tests/lint/lint.sh"}) {
    std::ifstream file(absl::StrCat(LONGSPAN_SOURCE_DIR "/", script));
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    // -DLONGSPAN_... is an argument of cmake.
    const std::regex variable("(^|[^D])(LONGSPAN_[A-Z_]*[A-Z])");
    for (std::sregex_iterator match(text.begin(), text.end(), variable), end; match != end;
         ++match, ++found)
      EXPECT_TRUE(Parse({(*match)[2].str() + "=x"}).ok()) << script << " " << (*match)[2];
  }
  EXPECT_GT(found, 10u);
}

// What the kubelet sets for the Services "longspan", "longspan-headless-2" (over IPv6) and
// "longspan-server-0".
TEST(KnownVariablesTest, ServiceLinks_AreLetPass) {
  std::vector<std::string> links;
  for (const char* prefix : {"LONGSPAN", "LONGSPAN_HEADLESS_2", "LONGSPAN_SERVER_0"}) {
    for (const char* rest :
         {"_SERVICE_HOST=10.96.0.7", "_SERVICE_PORT=50051", "_SERVICE_PORT_GRPC=50051",
          "_SERVICE_PORT_HTTP_METRICS=8080", "_PORT=tcp://10.96.0.7:50051",
          "_PORT_50051_TCP=tcp://10.96.0.7:50051", "_PORT_50051_TCP_PROTO=tcp",
          "_PORT_50051_TCP_PORT=50051", "_PORT_50051_TCP_ADDR=10.96.0.7",
          "_PORT_53_UDP=udp://[fd00:10::7]:53", "_PORT_53_UDP_PROTO=udp",
          "_PORT_53_UDP_ADDR=fd00:10::7", "_PORT_9_SCTP_PROTO=sctp", "_PORT_9_SCTP_PORT=9"})
      links.push_back(absl::StrCat(prefix, rest));
  }
  EXPECT_TRUE(Parse(links).ok()) << Parse(links);
}

TEST(KnownVariablesTest, WhatOnlyLooksLikeALink_IsRefused) {
  for (const char* variable :
       {"LONGSPAN_PORT=50051", "LONGSPAN_PORT=", "LONGSPAN_PORT=http://10.0.0.1:1",
        "LONGSPAN_PORT=tcp://10.0.0.1", "LONGSPAN_PORT=tcp://host:50051",
        "LONGSPAN_PORT=tcp://10.0.0.1:0", "LONGSPAN_PORT=tcp://10.0.0.1:99999",
        "LONGSPAN_SERVICE_HOST=localhost", "LONGSPAN_SERVICE_PORT=grpc",
        "LONGSPAN_SERVICE_PORT_GRPC=", "LONGSPAN_PORT_50051_TCP=50051",
        "LONGSPAN_PORT_50051_TCP_PROTO=udp", "LONGSPAN_PORT_50051_TCP_PORT=50052",
        "LONGSPAN_PORT_50051_TCP_ADDR=here", "LONGSPAN_PORT_50051_QUIC=udp://10.0.0.1:50051",
        "LONGSPAN_PORT_50051_tcp=tcp://10.0.0.1:50051", "LONGSPAN_PORT_X_TCP_PROTO=tcp",
        "LONGSPAN_PORT_1_TCP_PROTO_X=tcp"})
    EXPECT_FALSE(Parse({variable}).ok()) << variable;
}

// A setting whose variable looked like a link could be set by the name of a Service.
TEST(KnownVariablesTest, NoSettingIsNamedLikeALink) {
  const auto printed =
      ParseServerOptions({"--help"}, [](const std::string&) { return std::nullopt; });
  ASSERT_TRUE(printed.ok() && printed->print_and_exit.has_value());
  size_t names = 0;
  for (size_t at = printed->print_and_exit->find("[LONGSPAN_"); at != std::string::npos;
       at = printed->print_and_exit->find("[LONGSPAN_", at + 1)) {
    const std::string name =
        printed->print_and_exit->substr(at + 1, printed->print_and_exit->find(';', at) - at - 1);
    ++names;
    for (const char* value : {"10.0.0.1", "50051", "tcp://10.0.0.1:50051", "tcp"})
      EXPECT_FALSE(IsServiceLink(name, value)) << name;
  }
  EXPECT_GT(names, 20u);
}

}  // namespace
}  // namespace longspan
