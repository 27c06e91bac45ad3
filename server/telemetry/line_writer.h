// LineWriter: writes lines to a descriptor on a thread of its own. Whoever hands over a line never
// waits, whatever the other end does: it may not read (a pipe that is full), be gone (a pipe that
// is closed), or fail (a disk that is full). Lines that find no room, or cannot be written, are
// counted and lost, the oldest first. Where lines were lost, the next one that can be written has a
// line before it that says how many.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/time/time.h"

namespace longspan {

class LineWriter {
 public:
  struct Bounds {
    size_t lines = 8192;             // some seconds of requests on a busy server
    size_t bytes = size_t{8} << 20;  // a lone line may have more
  };

  // `descriptor` is closed at the end where `owned`. `lost` makes the line that says how many lines
  // were lost.
  LineWriter(int descriptor, bool owned, std::function<std::string(int64_t)> lost, Bounds bounds);
  // As above, with the bounds of a server's log.
  LineWriter(int descriptor, bool owned, std::function<std::string(int64_t)> lost);
  // Writes what waits for at most a second. The rest is lost.
  ~LineWriter();

  // `line` without its line break.
  void Write(std::string line);
  // Waits until all lines handed over so far are written or lost, for at most `limit`. False where
  // some still wait.
  bool Flush(absl::Duration limit);
  // Lines that were lost so far.
  int64_t num_lost() const;

 private:
  struct Shared;
  // Shared with the thread, which may outlive the writer: a write that does not return.
  const std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

// Writes `text` on the calling thread, for at most `limit`; false where not all of it was written.
// For the few lines before there is a log.
bool WriteWithin(int descriptor, std::string_view text, absl::Duration limit);

}  // namespace longspan
