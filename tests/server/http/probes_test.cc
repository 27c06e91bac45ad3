// The operator's pages over real HTTP, with sources that the test turns.
#include "server/http/probes.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using Phase = Lifecycle::Phase;

class ProbesTest : public ::testing::Test {
 protected:
  ProbesTest() {
    AddProbeRoutes({.lifecycle = &lifecycle_,
                    .ready = [this] { return ready_.load(); },
                    .live = [this] { return live_.load(); },
                    .dial =
                        [this] {
                          ++dials_;
                          return answers_ ? absl::OkStatus() : absl::UnavailableError("port dead");
                        },
                    .metrics = [] { return "some_metric 1\n"; }},
                   &http_);
    const absl::Status started = http_.Start("127.0.0.1:0");
    EXPECT_TRUE(started.ok()) << started;
  }

  // Everything that comes back, head and body.
  std::string Request(const std::string& method, const std::string& path) const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(http_.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    const std::string request =
        absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n",
                     "Connection: close\r\n\r\n");
    EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    std::string answer;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(fd, buffer, sizeof(buffer))) > 0;) answer.append(buffer, n);
    close(fd);
    return answer;
  }
  std::string Get(const std::string& path) const { return Request("GET", path); }
  void ExpectOk(const std::string& path) const {
    const std::string answer = Get(path);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n")) << path;
    EXPECT_THAT(answer, EndsWith("\r\n\r\nok\n")) << path;
  }
  void ExpectUnavailable(const std::string& path, const std::string& why) const {
    const std::string answer = Get(path);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 Service Unavailable\r\n")) << path;
    EXPECT_THAT(answer, HasSubstr("\r\nRetry-After: 1\r\n")) << path;
    EXPECT_THAT(answer, EndsWith(absl::StrCat("\r\n\r\n", why, "\n"))) << path;
  }

  Lifecycle lifecycle_;
  std::atomic<bool> ready_ = true;
  std::atomic<bool> live_ = true;
  std::atomic<bool> answers_ = true;
  std::atomic<int> dials_ = 0;
  HttpServer http_;  // last: its threads use all of the above
};

TEST_F(ProbesTest, Startupz_IsGoodOnceTheServerHasBeenReady) {
  ExpectUnavailable("/startupz", "starting");
  for (const Phase phase : {Phase::kServing, Phase::kLeaving, Phase::kRefusing}) {
    lifecycle_.Set(phase);
    ExpectOk("/startupz");
  }
}

TEST_F(ProbesTest, Readyz_SaysWhyNot) {
  lifecycle_.Set(Phase::kServing);
  ExpectOk("/readyz");
  ready_ = false;
  lifecycle_.Set(Phase::kStarting);
  ExpectUnavailable("/readyz", "starting");
  for (const Phase phase : {Phase::kLeaving, Phase::kRefusing}) {
    lifecycle_.Set(phase);
    ExpectUnavailable("/readyz", "draining");
  }
  live_ = false;
  ExpectUnavailable("/readyz", "a worker is stuck");
}

TEST_F(ProbesTest, Healthz_DialsThePort) {
  ExpectOk("/healthz");
  EXPECT_EQ(dials_, 1);
  answers_ = false;
  ExpectUnavailable("/healthz", "port dead");
  EXPECT_EQ(dials_, 2);
  live_ = false;
  ExpectUnavailable("/healthz", "a worker is stuck");
  EXPECT_EQ(dials_, 2) << "nothing to find out";
}

TEST_F(ProbesTest, Metrics_ArePrometheusText) {
  const std::string answer = Get("/metrics");
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nsome_metric 1\n"));
}

TEST_F(ProbesTest, HeadHasNoBody_OtherPagesAndMethodsAreRefused) {
  const std::string head = Request("HEAD", "/metrics");
  EXPECT_THAT(head, HasSubstr("\r\nContent-Length: 14\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("some_metric")));
  EXPECT_THAT(Get("/nothing"), StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(Request("POST", "/metrics"), StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
}

}  // namespace
}  // namespace longspan
