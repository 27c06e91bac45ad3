// WatchedFiles: small files that belong together and that an operator replaces while the server
// runs, such as a certificate with its key. Nothing is used before it was checked, and what was in
// force stays in force until then.
//
// The content decides, not the time of change, which a clock that is set or a tool that copies
// times makes wrong. A change counts once two looks in a row have seen the same content: files that
// are written piece by piece, or swapped one after the other, are left alone until they stand
// still. The contents themselves are not kept, only their hash.
//
// Thread safety: Load and Look from one thread at a time; the counters from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace longspan {

// A file as a whole. INVALID_ARGUMENT, without the file's name: it cannot be opened or read, is a
// folder, a pipe or a device, has more than 1 MiB, or was written to meanwhile.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

class WatchedFiles {
 public:
  struct File {
    std::string setting;  // what names it in errors: "tls-cert"
    std::string path;
  };
  // One content for each file, in their order.
  using Contents = std::vector<std::string>;
  // Checks the contents and puts them in force, or says in one line why they cannot be.
  using Take = std::function<absl::Status(const Contents&)>;

  WatchedFiles(std::vector<File> files, Take take)
      : files_(std::move(files)), take_(std::move(take)) {}

  bool empty() const { return files_.empty(); }

  // The first time: reads the files and takes them. INVALID_ARGUMENT names the file and what is
  // wrong.
  absl::Status Load();

  enum class Change {
    kNone,     // the files are those in force
    kPending,  // they differ, and were not the same at the look before
    kTaken,    // they differ, and are in force from now on
    kRefused,  // they cannot be used: `why`
  };
  struct Seen {
    Change change = Change::kNone;
    absl::Status why;
    bool is_news = false;  // the look before was not refused for the same reason
  };
  // `at_once`: two reads in a row do, and it is not waited for the next look.
  Seen Look(bool at_once = false);

  // Changes that were put in force, and looks that found what cannot be used.
  int64_t num_taken() const { return num_taken_.load(std::memory_order_relaxed); }
  int64_t num_refused() const { return num_refused_.load(std::memory_order_relaxed); }

 private:
  absl::StatusOr<Contents> ReadAll() const;
  Seen Refuse(const absl::Status& why);

  const std::vector<File> files_;
  const Take take_;
  std::string in_force_;     // hash of the contents in force
  std::string last_seen_;    // hash of other contents, which the last look saw; empty = none
  std::string last_reason_;  // why the last look refused the files; empty = it did not
  std::atomic<int64_t> num_taken_ = 0;
  std::atomic<int64_t> num_refused_ = 0;
};

}  // namespace longspan
