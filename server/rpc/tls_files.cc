#include "server/rpc/tls_files.h"

#include <fcntl.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace longspan {

// A file that exists in memory alone, under a name of /proc. Its content is replaced in one step:
// who opens the name finds the old content or the new one, whole.
class MemoryFile {
 public:
  MemoryFile() = default;
  ~MemoryFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return absl::StrCat("/proc/self/fd/", descriptor_); }

  absl::Status Replace(std::string_view content) {
    const int next = memfd_create("longspan-tls", MFD_CLOEXEC);
    if (next < 0) return Missing("memfd_create", errno);
    const bool written =
        write(next, content.data(), content.size()) == static_cast<ssize_t>(content.size());
    // gRPC reads the file once for the key and once for the certificate, and again where the time
    // of change, in seconds, differs between the two. So each content has a second of its own.
    const timespec times[2] = {{++changes_, 0}, {changes_, 0}};
    if (!written || futimens(next, times) != 0) {
      const int error = errno;
      close(next);
      return Missing("a file in memory", error);
    }
    if (descriptor_ < 0) {
      descriptor_ = next;
    } else {
      dup3(next, descriptor_, O_CLOEXEC);  // the step: the name is now that of the new content
      close(next);
    }
    if (access(path().c_str(), R_OK) != 0) return Missing("/proc/self/fd", errno);
    return absl::OkStatus();
  }

 private:
  static absl::Status Missing(absl::string_view what, int error) {
    return absl::UnavailableError(absl::StrCat("tls-cert needs ", what, ", which this system ",
                                               "refuses: ", std::strerror(error)));
  }

  int descriptor_ = -1;
  time_t changes_ = 0;
};

namespace {

// How often gRPC reads the files in memory.
constexpr unsigned kRefreshSeconds = 1;

std::vector<WatchedFiles::File> FilesOf(const TlsPaths& paths) {
  if (paths.cert.empty()) return {};
  std::vector<WatchedFiles::File> files = {{"tls-cert", paths.cert}, {"tls-key", paths.key}};
  if (!paths.client_ca.empty()) files.push_back({"tls-client-ca", paths.client_ca});
  return files;
}

}  // namespace

TlsFiles::TlsFiles(TlsPaths paths, std::function<absl::Time()> wall_clock)
    : paths_(std::move(paths)),
      wall_clock_(std::move(wall_clock)),
      files_(FilesOf(paths_), [this](const auto& contents) { return Take(contents); }),
      expires_(std::numeric_limits<int64_t>::max()) {}

TlsFiles::~TlsFiles() = default;

absl::Status TlsFiles::Load() {
  if (!in_use()) return absl::OkStatus();
  identity_ = std::make_unique<MemoryFile>();
  if (!paths_.client_ca.empty()) client_ca_ = std::make_unique<MemoryFile>();
  return files_.Load();
}

absl::Status TlsFiles::Take(const WatchedFiles::Contents& contents) {
  TlsTexts texts{.cert_name = absl::StrCat("tls-cert ", paths_.cert),
                 .cert = contents[0],
                 .key_name = absl::StrCat("tls-key ", paths_.key),
                 .key = contents[1]};
  if (contents.size() > 2) {
    texts.client_ca_name = absl::StrCat("tls-client-ca ", paths_.client_ca);
    texts.client_ca = contents[2];
  }
  const auto facts = CheckTls(texts, wall_clock_());
  if (!facts.ok()) return facts.status();
  // The authorities first: callers that they no longer vouch for are out before anything else.
  if (client_ca_ != nullptr) {
    if (absl::Status status = client_ca_->Replace(texts.client_ca); !status.ok()) return status;
  }
  if (absl::Status status = identity_->Replace(facts->identity); !status.ok()) return status;
  identity_pem_ = facts->identity;
  client_ca_pem_ = texts.client_ca;
  subject_ = facts->subject;
  expires_.store(absl::ToUnixSeconds(facts->expires), std::memory_order_relaxed);
  if (on_taken_) on_taken_();
  return absl::OkStatus();
}

std::shared_ptr<grpc::ServerCredentials> TlsFiles::Credentials() const {
  if (!in_use()) return grpc::InsecureServerCredentials();
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          identity_->path(), identity_->path(), client_ca_ == nullptr ? "" : client_ca_->path(),
          kRefreshSeconds));
  options.watch_identity_key_cert_pairs();
  if (client_ca_ != nullptr) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace longspan
