// Progress: how far a long run has come, on stderr: on a terminal one line that is drawn anew each
// second, elsewhere a line each half minute, for the logs of a job.
//
//   [######........]  41 %  12,288 texts  3 rejected  9,876 tokens/s  2 min 10 s left
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace longspan {

struct ProgressState {
  uint64_t texts = 0;
  uint64_t rejects = 0;
  uint64_t tokens = 0;
  std::optional<double> share;  // of the whole, where that is known
};

class Progress {
 public:
  // `begin`: where the run goes on, so that its speed counts only what it does itself.
  explicit Progress(const ProgressState& begin);
  // Draws the state, where it is time to.
  void Draw(const ProgressState& now);
  // Draws it a last time, and ends the line.
  void Finish(const ProgressState& now);

 private:
  const bool is_terminal_;
  const absl::Time began_;
  const ProgressState begin_;
  absl::Time drawn_;
};

// The line, without its end. `elapsed` is the time from `begin` to `now`.
std::string ProgressLine(const ProgressState& begin, const ProgressState& now,
                         absl::Duration elapsed);

}  // namespace longspan
