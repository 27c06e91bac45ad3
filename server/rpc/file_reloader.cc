#include "server/rpc/file_reloader.h"

#include <string>

namespace longspan {
namespace {

constexpr absl::Duration kBetweenLooks = absl::Seconds(1);

// A certificate that ends so soon is told of in the log, and so often. Issuers that renew
// themselves do it long before.
constexpr absl::Duration kExpiresSoon = absl::Hours(7 * 24);
constexpr absl::Duration kTellOfExpiry = absl::Hours(24);

std::string ExpiryText(absl::Time expires) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", expires, absl::UTCTimeZone());
}

}  // namespace

void FileReloader::Start() {
  period_ = std::make_unique<Periodic>([this] { Look(); }, kBetweenLooks);
}

void FileReloader::Look() {
  const bool at_once = at_once_.exchange(false);
  const WatchedFiles::Seen tls = tls_->Look(at_once);
  LogLook("tls", tls, {{"subject", tls_->subject()}, {"expires", ExpiryText(tls_->expires())}});
  const WatchedFiles::Seen keys = keys_->Look(at_once);
  LogLook("auth_keys", keys, {{"keys", keys_->num_keys()}});
  // Files that were being written when they were asked for are taken as soon as they stand still.
  if (at_once && (tls.change == WatchedFiles::Change::kPending ||
                  keys.change == WatchedFiles::Change::kPending))
    ReloadAtOnce();
  WarnOfExpiry();
}

void FileReloader::LogLook(std::string_view name, const WatchedFiles::Seen& seen,
                           const Log::Fields& facts) {
  Log::Fields fields = {{"files", name}};
  if (seen.change == WatchedFiles::Change::kTaken) {
    fields.update(facts);
    log_->Write(LogLevel::kInfo, "reloaded", fields);
  } else if (seen.change == WatchedFiles::Change::kRefused && seen.is_news) {
    fields["error"] = std::string(seen.why.message());
    log_->Write(LogLevel::kError, "reload_failed", fields);
  }
}

void FileReloader::WarnOfExpiry() {
  if (!tls_->in_use() || tls_->expires() - absl::Now() > kExpiresSoon) return;
  const absl::Time now = clock_->Now();
  if (now - expiry_told_ < kTellOfExpiry) return;
  expiry_told_ = now;
  log_->Write(LogLevel::kWarning, "certificate_expires",
              {{"subject", tls_->subject()}, {"expires", ExpiryText(tls_->expires())}});
}

}  // namespace longspan
