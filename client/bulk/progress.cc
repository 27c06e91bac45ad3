#include "client/bulk/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/steady_now.h"

namespace longspan {
namespace {

constexpr int kBarWidth = 30;
constexpr absl::Duration kOnTerminal = absl::Seconds(1), kInLog = absl::Seconds(30);

// Digits in groups of three.
std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), 1, ',');
  return digits;
}

std::string TimeLeft(absl::Duration left) {
  const int64_t seconds = absl::ToInt64Seconds(left);
  if (seconds >= 3600) return absl::StrFormat("%d h %02d min", seconds / 3600, seconds / 60 % 60);
  if (seconds >= 60) return absl::StrFormat("%d min %02d s", seconds / 60, seconds % 60);
  return absl::StrFormat("%d s", seconds);
}

}  // namespace

std::string ProgressLine(const ProgressState& begin, const ProgressState& now,
                         absl::Duration elapsed) {
  const double seconds = std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
  std::string line;
  if (now.share.has_value()) {
    const int done = std::clamp(static_cast<int>(kBarWidth * *now.share), 0, kBarWidth);
    absl::StrAppendFormat(&line, "[%s%s] %3d %%  ", std::string(done, '#'),
                          std::string(kBarWidth - done, '.'), static_cast<int>(100 * *now.share));
  }
  absl::StrAppend(&line, Grouped(now.texts), now.texts == 1 ? " text  " : " texts  ");
  if (now.rejects > 0) absl::StrAppend(&line, Grouped(now.rejects), " rejected  ");
  const auto per_second = static_cast<double>(now.tokens - begin.tokens) / seconds;
  absl::StrAppend(&line, Grouped(static_cast<uint64_t>(per_second)), " tokens/s");
  const double gained = now.share.value_or(0) - begin.share.value_or(0);
  if (now.share.has_value() && *now.share < 1 && gained > 0)
    absl::StrAppend(&line, "  ", TimeLeft(absl::Seconds((1 - *now.share) * seconds / gained)),
                    " left");
  return line;
}

Progress::Progress(const ProgressState& begin)
    : is_terminal_(isatty(STDERR_FILENO) == 1),
      began_(SteadyNow()),
      begin_(begin),
      drawn_(began_) {}

void Progress::Draw(const ProgressState& now) {
  const absl::Time time = SteadyNow();
  if (time - drawn_ < (is_terminal_ ? kOnTerminal : kInLog)) return;
  drawn_ = time;
  // The end of a line before it that was longer is erased.
  std::fprintf(stderr, is_terminal_ ? "\r%s\033[K" : "%s\n",
               ProgressLine(begin_, now, time - began_).c_str());
}

void Progress::Finish(const ProgressState& now) {
  std::fprintf(stderr, is_terminal_ ? "\r%s\033[K\n" : "%s\n",
               ProgressLine(begin_, now, SteadyNow() - began_).c_str());
}

}  // namespace longspan
