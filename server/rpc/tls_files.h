// TlsFiles: the server's certificate, its key and the authorities of its callers, out of files that
// may be replaced while it serves. What cannot be used is never used (tls_check.h): the start is
// refused, and later the certificate in force stays in force.
//
// gRPC 1.51 has one way to change the certificates of a listening port that is free of races: its
// FileWatcherCertificateProvider, which reads files once a second and checks nothing. It gets files
// of our own, which exist in memory alone and change in one step, certificate and key together.
//
// Thread safety: Load and Look from one thread at a time, expires and the counters from any.
// Ownership: TlsFiles must outlive the server that got its credentials.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/rpc/tls_check.h"
#include "server/rpc/watched_files.h"

namespace longspan {

class MemoryFile;

struct TlsPaths {
  std::string cert, key;
  std::string client_ca;  // empty = callers need no certificate
};

class TlsFiles {
 public:
  // An empty `cert` = no TLS. `wall_clock` says whether a certificate is valid today.
  explicit TlsFiles(TlsPaths paths, std::function<absl::Time()> wall_clock = absl::Now);
  ~TlsFiles();

  bool in_use() const { return !paths_.cert.empty(); }

  // The first time. INVALID_ARGUMENT in one line: which file, and what is wrong with it.
  // UNAVAILABLE where the system has no files in memory (memfd_create, /proc).
  absl::Status Load();
  WatchedFiles::Seen Look(bool at_once = false) { return files_.Look(at_once); }
  const WatchedFiles& files() const { return files_; }

  // Of the certificate in force. InfiniteFuture without TLS.
  absl::Time expires() const {
    return absl::FromUnixSeconds(expires_.load(std::memory_order_relaxed));
  }
  // "CN=search.example". From the thread of Load and Look.
  const std::string& subject() const { return subject_; }

  // PEM texts of what is in force: the key with its certificates, and the authorities of callers
  // (empty where they need no certificate). From the thread of Load and Look.
  const std::string& identity() const { return identity_pem_; }
  const std::string& client_ca() const { return client_ca_pem_; }
  // Is called whenever other files are in force, on the thread of Load and Look. Set it before.
  void SetObserver(std::function<void()> on_taken) { on_taken_ = std::move(on_taken); }

  // For a listening port, after Load. Without TLS: gRPC's insecure ones.
  std::shared_ptr<grpc::ServerCredentials> Credentials() const;

 private:
  absl::Status Take(const WatchedFiles::Contents& contents);

  const TlsPaths paths_;
  const std::function<absl::Time()> wall_clock_;
  WatchedFiles files_;
  std::unique_ptr<MemoryFile> identity_;   // key and certificates, in one file
  std::unique_ptr<MemoryFile> client_ca_;  // null where callers need no certificate
  std::string identity_pem_, client_ca_pem_;
  std::string subject_;
  std::function<void()> on_taken_;
  std::atomic<int64_t> expires_;  // Unix seconds
};

}  // namespace longspan
