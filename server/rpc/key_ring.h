// KeyRing: the bearer keys that callers may show. They come from a file with one key a line, which
// may have a name before it:
//
//   # who may call                          empty lines and comments do not count
//   sesame-7c2f9a                           a key
//   search-team 4b1d0c6e93                  a key with a name, which logs tell instead of the key
//
// The file is looked at once a second (Look) and never by a call. What was in force stays in force
// while the file cannot be used: it is empty or gone, a line is none of the above, or it looks cut.
// Cut is a file whose last line has no end, where the file in force ended its last line, or where
// that line is the beginning of one in force. A file of comments alone lets nobody in. Without a
// file everybody is let in.
//
// Keys are compared by their hash, in a time that tells nothing of them, and never logged.
//
// Thread safety: Load and Look from one thread at a time; all else from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/rpc/watched_files.h"

namespace longspan {

class KeyRing {
 public:
  // `path` empty = no keys are asked for.
  explicit KeyRing(std::string path);

  // Reads the file for the first time. INVALID_ARGUMENT where it cannot be read, holds no key, or a
  // line is wrong; the message names the line, never what is in it.
  absl::Status Load() { return files_.Load(); }
  WatchedFiles::Seen Look(bool at_once = false) { return files_.Look(at_once); }
  const WatchedFiles& files() const { return files_; }

  // `authorization` is the header's value, "Bearer KEY". UNAUTHENTICATED where no key is given, or
  // a wrong one. `name` gets the name of the key, where it has one.
  absl::Status Check(std::string_view authorization, std::string* name = nullptr) const;

  // Keys that are let in now.
  int64_t num_keys() const;

 private:
  struct Key {
    std::array<unsigned char, 32> hash;  // SHA-256
    std::string name;                    // empty = none
  };
  struct Parsed {
    std::vector<Key> keys;
    std::vector<std::string> plain;  // the keys themselves, in their order
    std::string unended;             // key of a last line that has no end
    bool any_line = false;           // a line that is not blank
  };
  static absl::StatusOr<Parsed> Parse(const std::string& content);
  absl::Status Take(const std::string& content);
  absl::Status CheckWhole(const Parsed& parsed) const;

  const std::string path_;
  WatchedFiles files_;
  // Of the file in force; for Load and Look.
  bool loaded_ = false;
  Parsed in_force_;
  mutable absl::Mutex mu_;
  std::vector<Key> keys_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
