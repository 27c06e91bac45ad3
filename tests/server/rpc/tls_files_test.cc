#include "server/rpc/tls_files.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "tests/temporary_folder.h"
#include "tests/test_certificates.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using Change = WatchedFiles::Change;

class TlsFilesTest : public ::testing::Test {
 protected:
  void Write(const TestIdentity& identity) {
    folder_.WriteText("cert", identity.cert_pem);
    folder_.WriteText("key", identity.key_pem);
  }
  TlsPaths Paths() const { return {folder_.path() + "/cert", folder_.path() + "/key"}; }
  // What comes of a change, once it stands still.
  static Change Settle(TlsFiles* files) {
    const Change first = files->Look().change;
    return first == Change::kPending ? files->Look().change : first;
  }

  TemporaryFolder folder_;
};

TEST_F(TlsFilesTest, WithoutTls_ThereIsNothingToLoad) {
  TlsFiles files({});
  EXPECT_TRUE(files.Load().ok());
  EXPECT_FALSE(files.in_use());
  EXPECT_NE(files.Credentials(), nullptr);
}

TEST_F(TlsFilesTest, AStartNamesTheFile) {
  EXPECT_THAT(std::string(TlsFiles({"/nope", "/nope.key"}).Load().message()),
              HasSubstr("tls-cert /nope cannot be read: No such file or directory"));
  Write(MakeIdentity());
  TlsPaths paths = Paths();
  paths.client_ca = folder_.path();
  EXPECT_THAT(std::string(TlsFiles(paths).Load().message()), HasSubstr("/longspan_test_"));
  EXPECT_THAT(std::string(TlsFiles(paths).Load().message()), HasSubstr("is a folder"));
}

// A server that shows the certificate in force, whatever becomes of the files meanwhile.
TEST_F(TlsFilesTest, WhatCannotBeUsed_NeverReachesACaller) {
  const TestIdentity first = MakeIdentity({.common_name = "first"});
  const TestIdentity second = MakeIdentity({.common_name = "second"});
  Write(first);
  TlsFiles files(Paths());
  ASSERT_TRUE(files.Load().ok());
  grpc::CallbackGenericService service;  // a server needs one
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(&service);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", files.Credentials(), &port);
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(CommonNameShown(port), "first");

  // The certificate comes without its key; the key alone; half a certificate; nothing; an old one.
  const TestIdentity old =
      MakeIdentity({.common_name = "old", .ends = absl::Now() - absl::Hours(1)});
  for (const auto& [cert, key] : {std::pair(second.cert_pem, first.key_pem),
                                  {first.cert_pem, second.key_pem},
                                  {second.cert_pem.substr(0, 100), second.key_pem},
                                  {std::string(), std::string()},
                                  {old.cert_pem, old.key_pem}}) {
    folder_.WriteText("cert", cert);
    folder_.WriteText("key", key);
    EXPECT_EQ(Settle(&files), Change::kRefused);
    EXPECT_EQ(files.subject(), "CN=first");
    EXPECT_EQ(CommonNameShown(port), "first");
  }
  // gRPC looks at the files in memory once a second. It finds the same for as long as they are bad.
  absl::SleepFor(absl::Milliseconds(1200));
  EXPECT_EQ(CommonNameShown(port), "first");

  Write(second);
  EXPECT_EQ(Settle(&files), Change::kTaken);
  EXPECT_EQ(files.subject(), "CN=second");
  for (int i = 0; i < 600 && CommonNameShown(port) != "second"; ++i)
    absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(CommonNameShown(port), "second");
  server->Shutdown();
}

TEST_F(TlsFilesTest, OthersHearOfWhatIsInForce_AndOfNothingElse) {
  const TestIdentity first = MakeIdentity({.common_name = "first"});
  const TestIdentity second = MakeIdentity({.common_name = "second"});
  const TestIdentity authority = MakeIdentity({.common_name = "authority", .authority = true});
  Write(first);
  folder_.WriteText("ca", authority.cert_pem);
  TlsPaths paths = Paths();
  paths.client_ca = folder_.path() + "/ca";
  TlsFiles files(paths);
  ASSERT_TRUE(files.Load().ok());
  EXPECT_THAT(files.identity(), HasSubstr(first.cert_pem));
  EXPECT_THAT(files.identity(), HasSubstr("PRIVATE KEY"));
  EXPECT_EQ(files.client_ca(), authority.cert_pem);
  int heard = 0;
  files.SetObserver([&heard] { ++heard; });
  folder_.WriteText("cert", second.cert_pem);
  EXPECT_EQ(Settle(&files), Change::kRefused);
  EXPECT_EQ(heard, 0);
  EXPECT_THAT(files.identity(), HasSubstr(first.cert_pem));
  Write(second);
  EXPECT_EQ(Settle(&files), Change::kTaken);
  EXPECT_EQ(heard, 1);
  EXPECT_THAT(files.identity(), HasSubstr(second.cert_pem));
}

// Makes a connection of TLS 1.2, whose sessions are there after the handshake, and tells whether it
// went on with this session. The session of the connection takes its place.
bool Resumes(int port, std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)>* session) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> connection(BIO_new_ssl_connect(context.get()),
                                                                 &BIO_free_all);
  BIO_set_conn_hostname(connection.get(), ("127.0.0.1:" + std::to_string(port)).c_str());
  SSL* ssl = nullptr;
  BIO_get_ssl(connection.get(), &ssl);
  const unsigned char http2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl, http2, sizeof(http2));
  if (*session != nullptr) SSL_set_session(ssl, session->get());
  EXPECT_EQ(BIO_do_connect(connection.get()), 1);
  EXPECT_EQ(BIO_do_handshake(connection.get()), 1);
  const bool resumed = SSL_session_reused(ssl) == 1;
  session->reset(SSL_get1_session(ssl));
  return resumed;
}

// A session stands for the certificates that were checked when it began. With other certificates
// or authorities in force, it counts no longer.
TEST_F(TlsFilesTest, ASessionOfBeforeAChange_IsNotResumed) {
  Write(MakeIdentity({.common_name = "first"}));
  TlsFiles files(Paths());
  ASSERT_TRUE(files.Load().ok());
  grpc::CallbackGenericService service;  // a server needs one
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(&service);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", files.Credentials(), &port);
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(nullptr, &SSL_SESSION_free);
  EXPECT_FALSE(Resumes(port, &session));
  EXPECT_TRUE(Resumes(port, &session));
  Write(MakeIdentity({.common_name = "second"}));
  ASSERT_EQ(Settle(&files), Change::kTaken);
  for (int i = 0; i < 600 && CommonNameShown(port) != "second"; ++i)
    absl::SleepFor(absl::Milliseconds(50));
  EXPECT_FALSE(Resumes(port, &session));
  server->Shutdown();
}

TEST_F(TlsFilesTest, ACertificateOfTomorrow_IsTakenTomorrow) {
  Write(MakeIdentity({.common_name = "today"}));
  absl::Time now = absl::Now();
  TlsFiles files(Paths(), [&now] { return now; });
  ASSERT_TRUE(files.Load().ok());
  Write(MakeIdentity({.common_name = "tomorrow", .begins = now + absl::Hours(24)}));
  EXPECT_EQ(Settle(&files), Change::kRefused);
  now += absl::Hours(25);
  EXPECT_EQ(files.Look().change, Change::kTaken);
  EXPECT_EQ(files.subject(), "CN=tomorrow");
}

}  // namespace
}  // namespace longspan
