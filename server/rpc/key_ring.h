// Bearer keys from a file, one a line, read again when the file changes (looked at most once a
// second), compared in constant time. Without a file everybody is let in. Keys are never logged.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace longspan {

class KeyRing {
 public:
  explicit KeyRing(std::string path) : path_(std::move(path)) {}

  // Reads the file for the first time: INVALID_ARGUMENT where it cannot be read or holds no key.
  absl::Status Load();
  bool required() const { return !path_.empty(); }
  // `authorization` is the header's value, "Bearer KEY". UNAUTHENTICATED without or with a wrong
  // key.
  absl::Status Check(std::string_view authorization);

 private:
  absl::Status ReadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefreshLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string path_;
  absl::Mutex mu_;
  std::vector<std::string> keys_ ABSL_GUARDED_BY(mu_);
  std::filesystem::file_time_type changed_ ABSL_GUARDED_BY(mu_);
  absl::Time looked_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace longspan
