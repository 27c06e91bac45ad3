// KeyRing: the bearer keys that callers may show. They come from a file with one key a line, where
// empty lines and those that begin with # do not count. The file is read again when it has changed.
// Without a file everybody is let in. Keys are compared in constant time and never logged.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

class KeyRing {
 public:
  // `path` empty = no keys are asked for.
  explicit KeyRing(std::string path) : path_(std::move(path)) {}

  // Reads the file for the first time. INVALID_ARGUMENT where it cannot be read or holds no key.
  absl::Status Load();
  // `authorization` is the header's value, "Bearer KEY". UNAUTHENTICATED where no key is given, or
  // a wrong one.
  absl::Status Check(std::string_view authorization);

 private:
  bool required() const { return !path_.empty(); }
  absl::Status ReadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefreshLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string path_;
  absl::Mutex mu_;
  std::vector<std::string> keys_ ABSL_GUARDED_BY(mu_);
  std::filesystem::file_time_type changed_ ABSL_GUARDED_BY(mu_);  // of the file that was read
  // When the file was last looked at for a change. A wall clock that is set back would keep old
  // keys in force until it has caught up.
  std::chrono::steady_clock::time_point looked_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
