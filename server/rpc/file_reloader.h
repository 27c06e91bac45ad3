// FileReloader: looks at the files of certificates and keys once a second, on a thread of its own,
// because their file system may hang. What changed and can be used is put in force (tls_files.h,
// key_ring.h); the log tells what was taken, what was refused, and that a certificate ends soon.
//
// Thread safety: Start and destruction from one thread; ReloadAtOnce from any, at any time.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "server/batching/clock.h"
#include "server/engine/periodic.h"
#include "server/rpc/key_ring.h"
#include "server/rpc/tls_files.h"
#include "server/rpc/watched_files.h"
#include "server/telemetry/log.h"

namespace longspan {

class FileReloader {
 public:
  // All of them outlive the object. Both files were loaded once.
  FileReloader(TlsFiles* tls, KeyRing* keys, const Clock* clock, Log* log)
      : tls_(tls), keys_(keys), clock_(clock), log_(log) {}

  void Start();
  // Ends the thread, after the look under way.
  void Stop() { period_.reset(); }

  // The next look, within a second, takes what stands still for two reads in a row. Returns at
  // once; the log tells the outcome.
  void ReloadAtOnce() { at_once_.store(true, std::memory_order_relaxed); }

 private:
  void Look();
  // `name` is what log and metrics call the files; `facts` describe what is in force.
  void LogLook(std::string_view name, const WatchedFiles::Seen& seen, const Log::Fields& facts);
  void WarnOfExpiry();

  TlsFiles* const tls_;
  KeyRing* const keys_;
  const Clock* const clock_;
  Log* const log_;
  std::atomic<bool> at_once_ = false;
  absl::Time expiry_told_ = absl::InfinitePast();  // when the log last told of it
  std::unique_ptr<Periodic> period_;               // last: its thread uses all of the above
};

}  // namespace longspan
