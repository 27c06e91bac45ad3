#include "server/rpc/tls_check.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace longspan {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, Freed<SSL_free>>;

// What gRPC 1.51 allows its TLS 1.2 and its key exchange. With TLS 1.3 it takes OpenSSL's own
// suites.
constexpr char kCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";
constexpr char kCurves[] = "P-256";

absl::Status Bad(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(name, " ", what));
}

// Why OpenSSL refused the last thing, and an empty queue of errors for the next.
std::string Reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "no reason given" : reason;
}

Bio Reader(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// For a key with a passphrase. Without it OpenSSL asks for one at the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

std::string When(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone());
}

absl::Time TimeOf(const ASN1_TIME* time) {
  tm civil{};
  if (ASN1_TIME_to_tm(time, &civil) != 1) return absl::InfinitePast();
  return absl::FromTM(civil, absl::UTCTimeZone());
}

absl::Time Begins(const Certificate& certificate) {
  return TimeOf(X509_get0_notBefore(certificate.get()));
}
absl::Time Ends(const Certificate& certificate) {
  return TimeOf(X509_get0_notAfter(certificate.get()));
}

// All certificates of a text, at least one. A text that was cut ends in the middle of one.
absl::StatusOr<std::vector<Certificate>> ReadCertificates(const std::string& name,
                                                          const std::string& pem) {
  if (pem.empty()) return Bad(name, "is empty");
  const Bio reader = Reader(pem);
  std::vector<Certificate> certificates;
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(reader.get(), nullptr, &NoPassphrase, nullptr))
    certificates.emplace_back(certificate);
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = Reason();
  if (!at_end) {
    return Bad(name, absl::StrCat(
                         "is damaged, or cut, behind ", certificates.size(),
                         certificates.size() == 1 ? " certificate: " : " certificates: ", reason));
  }
  if (certificates.empty())
    return Bad(name, "holds no certificate; allowed: PEM, -----BEGIN CERTIFICATE-----");
  // A text that ends within a line of dashes was cut there.
  const size_t last_line = absl::StripTrailingAsciiWhitespace(pem).rfind('\n') + 1;
  const absl::string_view last = absl::StripTrailingAsciiWhitespace(pem).substr(last_line);
  if (absl::StartsWith(last, "-----BEGIN") || (last.size() < 10 && absl::StartsWith(last, "-")))
    return Bad(name, "is cut: a certificate begins in its last line");
  return certificates;
}

absl::StatusOr<Key> ReadKey(const std::string& name, const std::string& pem) {
  if (pem.empty()) return Bad(name, "is empty");
  ERR_clear_error();
  Key key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, &NoPassphrase, nullptr));
  const std::string reason = Reason();
  if (key != nullptr) return key;
  if (absl::StrContains(pem, "ENCRYPTED"))
    return Bad(name, "is encrypted with a passphrase; give the key without one");
  if (!absl::StrContains(pem, "PRIVATE KEY-----"))
    return Bad(name, "holds no private key; allowed: PEM, -----BEGIN PRIVATE KEY-----");
  return Bad(name, absl::StrCat("is damaged, or cut: ", reason));
}

// A server of the transport's settings, with this certificate and key.
absl::StatusOr<Context> ServerContext(const TlsTexts& texts, const std::vector<Certificate>& chain,
                                      const Key& key) {
  Context context(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context.get(), kCiphers);
  SSL_CTX_set1_groups_list(context.get(), kCurves);
  ERR_clear_error();
  if (SSL_CTX_use_certificate(context.get(), chain.front().get()) != 1)
    return Bad(texts.cert_name, absl::StrCat("is not allowed: ", Reason()));
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) != 1)
      return Bad(texts.cert_name,
                 absl::StrCat("certificate ", i + 1, " is not allowed: ", Reason()));
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1)
    return Bad(texts.key_name, absl::StrCat("is not allowed: ", Reason()));
  return context;
}

// One handshake in memory, with a caller that takes any certificate.
absl::Status TryHandshake(const TlsTexts& texts, SSL_CTX* context) {
  const Context caller_context(SSL_CTX_new(TLS_client_method()));
  const Connection server(SSL_new(context)), caller(SSL_new(caller_context.get()));
  BIO *near = nullptr, *far = nullptr;
  BIO_new_bio_pair(&near, 0, &far, 0);
  SSL_set_bio(server.get(), near, near);
  SSL_set_bio(caller.get(), far, far);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(caller.get());
  ERR_clear_error();
  constexpr int kMostTurns = 100;  // a handshake takes three; a long chain some more
  bool server_done = false, caller_done = false;
  for (int turn = 0; turn < kMostTurns && !(server_done && caller_done); ++turn) {
    for (const auto& [connection, done] :
         {std::pair(caller.get(), &caller_done), std::pair(server.get(), &server_done)}) {
      const int result = SSL_do_handshake(connection);
      *done = result == 1;
      const int error = *done ? SSL_ERROR_NONE : SSL_get_error(connection, result);
      if (!*done && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        return Bad(texts.cert_name, absl::StrCat("cannot be used with ", texts.key_name,
                                                 ": a handshake fails: ", Reason()));
      }
    }
  }
  if (server_done && caller_done) return absl::OkStatus();
  return Bad(texts.cert_name, "cannot be used: a handshake does not end");
}

absl::Status CheckTimes(const std::string& name, const Certificate& certificate, absl::Time now) {
  if (const absl::Time end = Ends(certificate); now > end)
    return Bad(name, absl::StrCat("expired on ", When(end), "; it is ", When(now), " now"));
  if (const absl::Time begin = Begins(certificate); now < begin)
    return Bad(name,
               absl::StrCat("is not valid before ", When(begin), "; it is ", When(now), " now"));
  return absl::OkStatus();
}

absl::Status CheckClientCa(const TlsTexts& texts, absl::Time now) {
  if (texts.client_ca_name.empty()) return absl::OkStatus();
  const auto authorities = ReadCertificates(texts.client_ca_name, texts.client_ca);
  if (!authorities.ok()) return authorities.status();
  absl::Status first;
  for (const Certificate& authority : *authorities) {
    const absl::Status status = CheckTimes(texts.client_ca_name, authority, now);
    if (status.ok()) return status;
    if (first.ok()) first = status;
  }
  return first;
}

std::string TextOf(const Bio& written) {
  char* begin = nullptr;
  const auto size = BIO_get_mem_data(written.get(), &begin);
  return size > 0 ? std::string(begin, static_cast<size_t>(size)) : "";
}

std::string SubjectOf(const Certificate& certificate) {
  const Bio text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate.get()), 0, XN_FLAG_RFC2253);
  return TextOf(text);
}

std::string IdentityOf(const std::vector<Certificate>& chain, const Key& key) {
  const Bio text(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  for (const Certificate& certificate : chain) PEM_write_bio_X509(text.get(), certificate.get());
  return TextOf(text);
}

}  // namespace

absl::StatusOr<TlsFacts> CheckTls(const TlsTexts& texts, absl::Time now) {
  const auto chain = ReadCertificates(texts.cert_name, texts.cert);
  if (!chain.ok()) return chain.status();
  const auto key = ReadKey(texts.key_name, texts.key);
  if (!key.ok()) return key.status();
  const Certificate& certificate = chain->front();
  if (X509_check_private_key(certificate.get(), key->get()) != 1) {
    ERR_clear_error();
    return Bad(texts.key_name,
               absl::StrCat("is not the key of ", texts.cert_name, " (", SubjectOf(certificate),
                            "); replace both, or put the certificate first in its file"));
  }
  if (absl::Status status = CheckTimes(texts.cert_name, certificate, now); !status.ok())
    return status;
  const auto context = ServerContext(texts, *chain, *key);
  if (!context.ok()) return context.status();
  if (absl::Status status = TryHandshake(texts, context->get()); !status.ok()) return status;
  if (absl::Status status = CheckClientCa(texts, now); !status.ok()) return status;
  return TlsFacts{.subject = SubjectOf(certificate),
                  .expires = Ends(certificate),
                  .identity = IdentityOf(*chain, *key)};
}

}  // namespace longspan
