// Certificates for tests, made by OpenSSL in this process: authorities, servers, callers, and all
// that a certificate can have wrong with it.
#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace longspan {

// A private key and its certificate, as objects and as PEM texts.
struct TestIdentity {
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> certificate;
  std::string key_pem;
  std::string cert_pem;
};

struct TestCertificate {
  std::string common_name = "localhost";
  absl::Time begins = absl::Now() - absl::Hours(1);
  absl::Time ends = absl::Now() + absl::Hours(48);
  int rsa_bits = 0;                 // 0 = an elliptic curve
  const char* curve = "P-256";      // its name
  const char* algorithm = nullptr;  // instead of both: "ED25519"
  bool authority = false;
  const TestIdentity* issuer = nullptr;  // null = signed by itself
};

namespace test_certificates {

template <typename Write>
std::string Pem(const Write& write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), &BIO_free);
  write(text.get());
  char* begin = nullptr;
  const auto size = BIO_get_mem_data(text.get(), &begin);
  return std::string(begin, static_cast<size_t>(size));
}

inline void Extend(X509* certificate, int extension, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, &context, extension, value);
  X509_add_ext(certificate, made, -1);
  X509_EXTENSION_free(made);
}

}  // namespace test_certificates

inline TestIdentity MakeIdentity(const TestCertificate& wanted = {}) {
  TestIdentity made;
  EVP_PKEY* key =
      wanted.algorithm != nullptr ? EVP_PKEY_Q_keygen(nullptr, nullptr, wanted.algorithm)
      : wanted.rsa_bits > 0 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t(wanted.rsa_bits))
                            : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", wanted.curve);
  made.key.reset(key, &EVP_PKEY_free);
  made.certificate.reset(X509_new(), &X509_free);
  X509* const certificate = made.certificate.get();
  static long serial = 0;
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial + getpid());
  ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(wanted.begins));
  ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(wanted.ends));
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(wanted.common_name.c_str()), -1,
                             -1, 0);
  const TestIdentity& issuer = wanted.issuer == nullptr ? made : *wanted.issuer;
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer.certificate.get()));
  if (wanted.authority) test_certificates::Extend(certificate, NID_basic_constraints, "CA:TRUE");
  test_certificates::Extend(certificate, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
  X509_sign(certificate, issuer.key.get(),
            EVP_PKEY_get_id(issuer.key.get()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256());
  made.cert_pem = test_certificates::Pem([&](BIO* text) { PEM_write_bio_X509(text, certificate); });
  made.key_pem = test_certificates::Pem([&](BIO* text) {
    PEM_write_bio_PrivateKey(text, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  return made;
}

inline std::string EncryptedKey(const TestIdentity& identity) {
  return test_certificates::Pem([&](BIO* text) {
    PEM_write_bio_PKCS8PrivateKey(text, identity.key.get(), EVP_aes_256_cbc(), "secret", 6, nullptr,
                                  nullptr);
  });
}

// "CN" of the certificate that a server on this port of 127.0.0.1 shows; empty where no handshake
// comes about. Anything is trusted.
inline std::string CommonNameShown(int port) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> connection(BIO_new_ssl_connect(context.get()),
                                                                 &BIO_free_all);
  BIO_set_conn_hostname(connection.get(), ("127.0.0.1:" + std::to_string(port)).c_str());
  SSL* ssl = nullptr;
  BIO_get_ssl(connection.get(), &ssl);
  const unsigned char http2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl, http2, sizeof(http2));
  if (BIO_do_connect(connection.get()) != 1 || BIO_do_handshake(connection.get()) != 1) {
    ERR_clear_error();
    return "";
  }
  const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(ssl),
                                                          &X509_free);
  if (shown == nullptr) return "";
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name, sizeof(name));
  return name;
}

}  // namespace longspan
