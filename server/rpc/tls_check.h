// CheckTls: whether callers could connect with these certificates, found out before they are used.
// gRPC itself takes what it is given, and every handshake then fails.
//
// A free function of plain values, without I/O: thread safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace longspan {

// PEM texts, each with the name that an error calls it by ("tls-cert /etc/tls.crt").
struct TlsTexts {
  std::string cert_name, cert;  // the server's certificate, then those that lead to its authority
  std::string key_name, key;    // its private key
  std::string client_ca_name;   // empty = callers need no certificate
  std::string client_ca;        // the authorities that sign callers' certificates
};

struct TlsFacts {
  std::string subject;  // of the server's certificate: "CN=search.example"
  absl::Time expires;   // when that certificate ends
  // The key and the certificates once more, without what else their files hold, in one PEM text.
  std::string identity;
};

// INVALID_ARGUMENT, in one line, where:
//   - a text is empty, holds no certificate or no private key, or is cut in the middle of one
//   - the key is encrypted, of a kind that the transport does not take, or of another certificate
//   - the certificate is over or has not begun at `now`. Those behind it do not count: chains carry
//     roots that are over and that no caller looks at
//   - a handshake with them fails: too short a key, a signature or curve that is not allowed
//   - no authority of callers is valid at `now`
absl::StatusOr<TlsFacts> CheckTls(const TlsTexts& texts, absl::Time now);

}  // namespace longspan
