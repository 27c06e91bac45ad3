// The HTTP port with TLS: the same rules, certificates that change, callers that must show one.
#include <thread>

#include "server/http/transport.h"
#include "tests/server/http/http_fixture.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

std::string IdentityPem(const TestIdentity& identity) {
  return identity.key_pem + identity.cert_pem;
}

class HttpTlsTest : public HttpFixture {
 protected:
  void StartTls(HttpServerOptions options = {}) {
    if (options.tls_identity.empty()) options.tls_identity = IdentityPem(identity_);
    Start(std::move(options));
  }

  const TestIdentity identity_ = MakeIdentity({.common_name = "first"});
};

TEST_F(HttpTlsTest, RequestsBodiesAndStreams_AreAsWithoutTls) {
  StartTls();
  for (const int version : {TLS1_2_VERSION, 0}) {
    HttpCaller caller(port(), CallerTls{.max_version = version});
    ASSERT_TRUE(caller.shaken());
    EXPECT_EQ(caller.Get("/page?a").body, "query=a\n");
    std::string large;
    for (int i = 0; i < 100'000; ++i) absl::StrAppend(&large, i, "\n");
    EXPECT_EQ(caller.Post("/echo", large).body, large);
    caller.Send(Request("GET /page?1") + Request("GET /page?2"));
    EXPECT_EQ(caller.Receive().body, "query=1\n");
    EXPECT_EQ(caller.Receive().body, "query=2\n");
    caller.Send(Request("POST /held", "Content-Length: 0\r\n"));
    const auto exchange = held_.Next();
    ASSERT_NE(exchange, nullptr);
    EXPECT_TRUE(exchange->request().over_tls);
    EXPECT_FALSE(exchange->request().has_client_certificate);
    exchange->Answer({.body = std::string(20 << 20, 'x')});
    EXPECT_EQ(caller.Receive().body.size(), 20u << 20);
    EXPECT_EQ(caller.Get("/page", "Connection: close\r\n").code, 200);
    EXPECT_TRUE(caller.Ends());
    EXPECT_NE(SSL_get_shutdown(caller.ssl()) & SSL_RECEIVED_SHUTDOWN, 0) << "a farewell";
  }
}

TEST_F(HttpTlsTest, OldVersionsAndCallersWithoutTls_AreRefused) {
  StartTls();
  EXPECT_FALSE(HttpCaller(port(), CallerTls{.max_version = TLS1_1_VERSION}).shaken());
  HttpCaller plain(port());
  plain.Send(Request("GET /page"));
  EXPECT_EQ(plain.Receive().code, 0);
  EXPECT_EQ(HttpCaller(port(), CallerTls{}).Get("/page").code, 200);
}

TEST_F(HttpTlsTest, OfTheProtocolsOffered_Http11IsTaken_AndHttp2AloneIsRefused) {
  StartTls();
  HttpCaller both(port(), CallerTls{.protocols = "\x02h2\x08http/1.1"});
  ASSERT_TRUE(both.shaken());
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(both.ssl(), &chosen, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "http/1.1");
  EXPECT_FALSE(HttpCaller(port(), CallerTls{.protocols = "\x02h2"}).shaken());
}

TEST_F(HttpTlsTest, NewConnectionsSeeANewCertificate_OldOnesGoOn) {
  StartTls();
  HttpCaller old(port(), CallerTls{});
  EXPECT_EQ(old.CommonName(), "first");
  const TestIdentity second = MakeIdentity({.common_name = "second"});
  ASSERT_TRUE(server_.SetCertificates(IdentityPem(second), "").ok());
  EXPECT_EQ(HttpCaller(port(), CallerTls{}).CommonName(), "second");
  EXPECT_EQ(old.Get("/page").code, 200);
  EXPECT_FALSE(server_.SetCertificates(second.key_pem + identity_.cert_pem, "").ok());
  EXPECT_FALSE(server_.SetCertificates("nonsense", "").ok());
  EXPECT_EQ(HttpCaller(port(), CallerTls{}).CommonName(), "second") << "stays in force";
}

TEST_F(HttpTlsTest, NoSessionIsResumed) {
  StartTls();
  for (const int version : {TLS1_2_VERSION, 0}) {
    HttpCaller first(port(), CallerTls{.max_version = version});
    EXPECT_EQ(first.Get("/page").code, 200);
    SSL_SESSION* session = SSL_get1_session(first.ssl());
    EXPECT_TRUE(session == nullptr || SSL_SESSION_has_ticket(session) == 0);
    EXPECT_TRUE(session == nullptr || SSL_SESSION_is_resumable(session) == 0);
    SSL_SESSION_free(session);
  }
}

TEST_F(HttpTlsTest, WithAnAuthority_OnlyItsCallersAreLetIn) {
  const TestIdentity authority = MakeIdentity({.common_name = "authority", .authority = true});
  const TestIdentity known = MakeIdentity({.common_name = "known", .issuer = &authority});
  const TestIdentity over = MakeIdentity({.common_name = "over",
                                          .begins = absl::Now() - absl::Hours(2),
                                          .ends = absl::Now() - absl::Hours(1),
                                          .issuer = &authority});
  const TestIdentity stranger = MakeIdentity({.common_name = "stranger"});
  StartTls({.tls_client_ca = authority.cert_pem});
  HttpCaller caller(port(), CallerTls{.identity = &known});
  caller.Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  EXPECT_TRUE(exchange->request().has_client_certificate);
  exchange->Answer({.body = "in"});
  EXPECT_EQ(caller.Receive().body, "in");
  for (const TestIdentity* other : {&stranger, &over, static_cast<const TestIdentity*>(nullptr)}) {
    for (const int version : {TLS1_2_VERSION, 0}) {
      HttpCaller refused(port(), CallerTls{.identity = other, .max_version = version});
      EXPECT_EQ(refused.Get("/page").code, 0);
    }
  }
  // Whom the authority no longer vouches for is out with the next connection.
  ASSERT_TRUE(server_.SetCertificates(IdentityPem(identity_), stranger.cert_pem).ok());
  EXPECT_EQ(HttpCaller(port(), CallerTls{.identity = &known}).Get("/page").code, 0);
  EXPECT_EQ(HttpCaller(port(), CallerTls{.identity = &stranger}).Get("/page").code, 200);
}

TEST_F(HttpTlsTest, AHandshakeThatDoesNotCome_EndsTheConnection) {
  StartTls({.handshake_timeout = absl::Milliseconds(500), .idle_timeout = absl::Seconds(100)});
  HttpCaller silent(port());
  EXPECT_TRUE(silent.Ends());
  HttpCaller begun(port());
  begun.Send(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
  EXPECT_TRUE(begun.Ends());
  EXPECT_EQ(HttpCaller(port(), CallerTls{}).Get("/page").code, 200);
}

TEST_F(HttpTlsTest, APeerThatGoes_IsToldOf) {
  StartTls();
  auto caller = std::make_unique<HttpCaller>(port(), CallerTls{});
  caller->Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  std::atomic<int> gone = 0;
  exchange->OnGone([&gone] { ++gone; });
  caller.reset();
  EXPECT_TRUE(Eventually([&] { return gone == 1; }));
}

TEST_F(HttpTlsTest, APeerThatGoes_IsToldOf_BehindPipelinedRequests) {
  StartTls();
  auto caller = std::make_unique<HttpCaller>(port(), CallerTls{});
  caller->Send(Request("POST /held", "Content-Length: 0\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  caller->Send(std::string(100 << 10, 'x'));
  EXPECT_FALSE(exchange->gone());
  caller.reset();
  EXPECT_TRUE(Eventually([&] { return exchange->gone(); }));
  exchange->Answer({});
}

TEST_F(HttpTlsTest, AnAnswerIsNotLostWhereThePeerStillSends) {
  StartTls();
  HttpCaller caller(port(), CallerTls{});
  caller.Send(Request("POST /echo", "Content-Length: 2000000\r\n"));
  const std::string block(16 << 10, 'x');
  for (int i = 0; i < 20; ++i) {
    caller.Send(block);
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(caller.Receive().code, 413);
  EXPECT_TRUE(caller.Ends());
}

TEST_F(HttpTlsTest, ABodyInBlocks_IsReadAsItIsAskedFor) {
  StartTls();
  HttpCaller caller(port(), CallerTls{});
  caller.Send(Request("POST /lines", "Content-Length: 40000\r\n"));
  const auto exchange = held_.Next();
  ASSERT_NE(exchange, nullptr);
  caller.Send(std::string(40'000, 'x'));
  std::atomic<size_t> came = 0;
  std::atomic<bool> whole = false;
  std::function<void(BodyBlock)> next = [&](BodyBlock block) {
    came += block.bytes.size();
    if (block.end == BodyBlock::End::kMore) return exchange->ReadBody(next);
    whole = block.end == BodyBlock::End::kLast;
  };
  exchange->ReadBody(next);
  EXPECT_TRUE(Eventually([&] { return whole.load(); }));
  EXPECT_EQ(came, 40'000u);
  exchange->Answer({.body = "read"});
  EXPECT_EQ(caller.Receive().body, "read");
  EXPECT_EQ(caller.Get("/page").code, 200);
}

// Stops in handshakes, noise: none of it holds the others.
TEST_F(HttpTlsTest, GarbageHoldsNobody) {
  StartTls({.max_connections = 64});
  std::vector<RawSocket> held;
  for (int i = 0; i < 300; ++i) {
    held.emplace_back(port());
    if (i % 3 == 0) held.back().Send("\x16\x03\x01\x02");
    if (i % 3 == 1) held.back().Send("GET / HTTP/1.1\r\n\r\n");
    if (i % 50 != 0) continue;
    EXPECT_EQ(HttpCaller(port(), CallerTls{}).Get("/page").code, 200) << i;
  }
}

TEST_F(HttpTlsTest, AStartWithoutAUsableCertificateIsRefused) {
  HttpServer server;
  const absl::Status status = server.Start("127.0.0.1:0", {.tls_identity = identity_.cert_pem});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

}  // namespace
}  // namespace longspan
