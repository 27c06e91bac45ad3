#include "server/rpc/tls_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "tests/test_certificates.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TlsTexts Texts(const TestIdentity& identity) {
  return {.cert_name = "tls-cert /c",
          .cert = identity.cert_pem,
          .key_name = "tls-key /k",
          .key = identity.key_pem};
}

// What is wrong with them today; empty where nothing is.
std::string Wrong(const TlsTexts& texts) {
  const auto facts = CheckTls(texts, absl::Now());
  if (facts.ok()) return "";
  EXPECT_TRUE(absl::IsInvalidArgument(facts.status()));
  EXPECT_THAT(std::string(facts.status().message()), Not(HasSubstr("\n")));
  return std::string(facts.status().message());
}

TEST(TlsCheckTest, APairThatFits_IsTakenWithItsFacts) {
  const absl::Time ends = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()) + 5000);
  const TestIdentity identity = MakeIdentity({.common_name = "search.example", .ends = ends});
  const auto facts = CheckTls(Texts(identity), absl::Now());
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->subject, "CN=search.example");
  EXPECT_EQ(facts->expires, ends);
  EXPECT_THAT(facts->identity,
              AllOf(HasSubstr("BEGIN PRIVATE KEY"), HasSubstr("BEGIN CERTIFICATE")));
}

TEST(TlsCheckTest, EveryUsualKindOfKey) {
  EXPECT_EQ(Wrong(Texts(MakeIdentity({.rsa_bits = 2048}))), "");
  EXPECT_EQ(Wrong(Texts(MakeIdentity())), "");
}

TEST(TlsCheckTest, AKeyThatTheTransportDoesNotTake) {
  EXPECT_THAT(Wrong(Texts(MakeIdentity({.rsa_bits = 1024}))),
              AllOf(HasSubstr("tls-cert /c"), HasSubstr("key too small")));
}

TEST(TlsCheckTest, WhatIsNone) {
  const TestIdentity identity = MakeIdentity();
  TlsTexts texts = Texts(identity);
  texts.cert = "";
  EXPECT_EQ(Wrong(texts), "tls-cert /c is empty");
  texts.cert = "hello\n";
  EXPECT_THAT(Wrong(texts), HasSubstr("tls-cert /c holds no certificate"));
  texts.cert = identity.key_pem;
  EXPECT_THAT(Wrong(texts), HasSubstr("tls-cert /c holds no certificate"));
  texts = Texts(identity);
  texts.key = "";
  EXPECT_EQ(Wrong(texts), "tls-key /k is empty");
  texts.key = identity.cert_pem;
  EXPECT_THAT(Wrong(texts), HasSubstr("tls-key /k holds no private key"));
}

TEST(TlsCheckTest, AKeyWithAPassphrase_IsRefused_AndNobodyIsAskedForIt) {
  const TestIdentity identity = MakeIdentity();
  TlsTexts texts = Texts(identity);
  texts.key = EncryptedKey(identity);
  EXPECT_THAT(Wrong(texts), HasSubstr("tls-key /k is encrypted with a passphrase"));
}

TEST(TlsCheckTest, TheKeyOfAnotherCertificate) {
  TlsTexts texts = Texts(MakeIdentity({.common_name = "a.example"}));
  texts.key = MakeIdentity().key_pem;
  EXPECT_THAT(Wrong(texts), HasSubstr("tls-key /k is not the key of tls-cert /c (CN=a.example)"));
}

TEST(TlsCheckTest, TheDaysOfTheCertificate_NotOfThoseBehindIt) {
  const absl::Time day =
      absl::FromCivil(absl::CivilSecond(2024, 5, 6, 7, 8, 9), absl::UTCTimeZone());
  EXPECT_THAT(Wrong(Texts(MakeIdentity({.begins = day - absl::Hours(9), .ends = day}))),
              HasSubstr("tls-cert /c expired on 2024-05-06 07:08:09 UTC; it is "));
  const absl::Time later = absl::Now() + absl::Hours(1);
  EXPECT_THAT(Wrong(Texts(MakeIdentity({.begins = later}))),
              HasSubstr("tls-cert /c is not valid before"));
  const TestIdentity old_root = MakeIdentity({.ends = day, .authority = true});
  TlsTexts texts = Texts(MakeIdentity());
  texts.cert += old_root.cert_pem;
  EXPECT_EQ(Wrong(texts), "");
}

// Wherever a file of two certificates is cut, it is refused or still holds whole certificates.
TEST(TlsCheckTest, AFileThatIsCut_AtAnyByte) {
  const TestIdentity root = MakeIdentity({.common_name = "root", .authority = true});
  const TestIdentity leaf = MakeIdentity({.issuer = &root});
  const std::string chain = leaf.cert_pem + root.cert_pem;
  int refused = 0;
  for (size_t size = 0; size < chain.size(); ++size) {
    TlsTexts texts = Texts(leaf);
    texts.cert = chain.substr(0, size);
    const auto facts = CheckTls(texts, absl::Now());
    if (!facts.ok()) {
      ++refused;
      continue;
    }
    // What is left over are line ends and dashes.
    const size_t whole = size < chain.size() - 2 ? leaf.cert_pem.size() : chain.size();
    EXPECT_LE(size > whole ? size - whole : whole - size, 5u) << "cut at " << size;
  }
  EXPECT_GT(refused, static_cast<int>(chain.size()) - 15);
  for (size_t size = 0; size + 2 < leaf.key_pem.size(); ++size) {
    TlsTexts texts = Texts(leaf);
    texts.key = leaf.key_pem.substr(0, size);
    EXPECT_FALSE(CheckTls(texts, absl::Now()).ok()) << "key cut at " << size;
  }
}

TEST(TlsCheckTest, AuthoritiesOfCallers) {
  TlsTexts texts = Texts(MakeIdentity());
  texts.client_ca_name = "tls-client-ca /a";
  texts.client_ca = "";
  EXPECT_EQ(Wrong(texts), "tls-client-ca /a is empty");
  texts.client_ca = texts.key;
  EXPECT_THAT(Wrong(texts), HasSubstr("tls-client-ca /a holds no certificate"));
  const TestIdentity old =
      MakeIdentity({.ends = absl::Now() - absl::Minutes(1), .authority = true});
  texts.client_ca = old.cert_pem;
  EXPECT_THAT(Wrong(texts), HasSubstr("tls-client-ca /a expired on"));
  // One that is valid is enough.
  texts.client_ca += MakeIdentity({.authority = true}).cert_pem;
  EXPECT_EQ(Wrong(texts), "");
}

// The key's file may hold the certificate too: only the key is taken out of it.
TEST(TlsCheckTest, OneFileForBoth) {
  const TestIdentity identity = MakeIdentity();
  TlsTexts texts = Texts(identity);
  texts.cert = texts.key = identity.cert_pem + identity.key_pem;
  const auto facts = CheckTls(texts, absl::Now());
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->identity, identity.key_pem + identity.cert_pem);
}

}  // namespace
}  // namespace longspan
