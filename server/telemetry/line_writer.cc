#include "server/telemetry/line_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace longspan {
namespace {

// Written at once. A pipe that polls as writable takes so many bytes without a wait, and in one
// piece, so that lines of several processes do not mix.
constexpr size_t kAtOnce = PIPE_BUF;
// How often a wait for a reader looks whether it should end.
constexpr int kLookMs = 100;
// How long the last lines may take at the end.
constexpr absl::Duration kLastLines = absl::Seconds(1);
// How long the thread may take to see that it should end. It does not where the pipe is shared, and
// another process has filled it between the poll and the write.
constexpr absl::Duration kThreadEnds = absl::Seconds(1);

// Writes all of `text`, waiting for the reader until `give_up` says so. Returns the bytes written.
template <typename GiveUp>
size_t WriteAll(int descriptor, std::string_view text, const GiveUp& give_up) {
  size_t written = 0;
  while (written < text.size()) {
    pollfd ready{.fd = descriptor, .events = POLLOUT, .revents = 0};
    const int polled = poll(&ready, 1, kLookMs);
    if (polled == 0 || (polled < 0 && errno == EINTR)) {
      if (give_up()) break;
      continue;
    }
    const ssize_t count =
        write(descriptor, text.data() + written, std::min(kAtOnce, text.size() - written));
    if (count > 0) {
      written += static_cast<size_t>(count);
    } else if (count < 0 && errno == EAGAIN) {
      // Somebody made it a pipe that does not block, and the room is less than the bytes.
      absl::SleepFor(absl::Milliseconds(kLookMs));
      if (give_up()) break;
    } else if (count == 0 || errno != EINTR) {
      break;
    }
  }
  return written;
}

}  // namespace

struct LineWriter::Shared {
  const int descriptor;
  const bool owned;
  const std::function<std::string(int64_t)> lost_line;
  const Bounds bounds;
  std::atomic<bool> give_up = false;

  mutable absl::Mutex mu;
  std::deque<std::string> waiting ABSL_GUARDED_BY(mu);
  size_t waiting_bytes ABSL_GUARDED_BY(mu) = 0;
  int64_t accepted ABSL_GUARDED_BY(mu) = 0;  // lines handed over
  int64_t settled ABSL_GUARDED_BY(mu) = 0;   // of these, written or lost
  int64_t lost ABSL_GUARDED_BY(mu) = 0;
  int64_t told ABSL_GUARDED_BY(mu) = 0;  // of the lost ones, told by a line
  bool stopping ABSL_GUARDED_BY(mu) = false;
  bool ended ABSL_GUARDED_BY(mu) = false;
  // Of the thread alone: the last line stands there in part.
  bool torn = false;

  Shared(int descriptor, bool owned, std::function<std::string(int64_t)> lost_line, Bounds bounds)
      : descriptor(descriptor), owned(owned), lost_line(std::move(lost_line)), bounds(bounds) {}
  ~Shared() {
    if (owned) close(descriptor);
  }

  void Lose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    ++lost;
    ++settled;
  }

  bool Put(std::string line) {
    line += '\n';
    // What is left of a line that was cut must not run into this one.
    if (torn) line.insert(0, 1, '\n');
    const size_t written = WriteAll(descriptor, line, [this] { return give_up.load(); });
    torn = written == 0 ? torn : written < line.size();
    return written == line.size();
  }

  void Run() {
    while (true) {
      std::string line;
      int64_t untold = 0;
      {
        absl::MutexLock lock(&mu);
        const auto work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
          return stopping || !waiting.empty();
        };
        mu.Await(absl::Condition(&work));
        if (waiting.empty()) break;
        line = std::move(waiting.front());
        waiting.pop_front();
        waiting_bytes -= line.size();
        untold = lost - told;
      }
      const bool told_now = untold > 0 && Put(lost_line(untold));
      const bool written = (untold == 0 || told_now) && Put(std::move(line));
      absl::MutexLock lock(&mu);
      if (told_now) told += untold;
      if (written) {
        ++settled;
      } else {
        Lose();
      }
    }
    absl::MutexLock lock(&mu);
    ended = true;
  }
};

LineWriter::LineWriter(int descriptor, bool owned, std::function<std::string(int64_t)> lost,
                       Bounds bounds)
    : shared_(std::make_shared<Shared>(descriptor, owned, std::move(lost), bounds)),
      thread_([shared = shared_] { shared->Run(); }) {}

LineWriter::LineWriter(int descriptor, bool owned, std::function<std::string(int64_t)> lost)
    : LineWriter(descriptor, owned, std::move(lost), Bounds()) {}

LineWriter::~LineWriter() {
  Flush(kLastLines);
  shared_->give_up = true;
  bool ended = false;
  {
    absl::MutexLock lock(&shared_->mu);
    shared_->stopping = true;
    shared_->waiting.clear();
    ended = shared_->mu.AwaitWithTimeout(absl::Condition(&shared_->ended), kThreadEnds);
  }
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void LineWriter::Write(std::string line) {
  Shared& shared = *shared_;
  absl::MutexLock lock(&shared.mu);
  ++shared.accepted;
  while (!shared.waiting.empty() && (shared.waiting.size() >= shared.bounds.lines ||
                                     shared.waiting_bytes + line.size() > shared.bounds.bytes)) {
    shared.waiting_bytes -= shared.waiting.front().size();
    shared.waiting.pop_front();
    shared.Lose();
  }
  shared.waiting_bytes += line.size();
  shared.waiting.push_back(std::move(line));
}

bool LineWriter::Flush(absl::Duration limit) {
  Shared& shared = *shared_;
  absl::MutexLock lock(&shared.mu);
  const int64_t wanted = shared.accepted;
  const auto done = [&shared, wanted]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared.mu) {
    return shared.settled >= wanted;
  };
  return shared.mu.AwaitWithTimeout(absl::Condition(&done), limit);
}

int64_t LineWriter::num_lost() const {
  absl::MutexLock lock(&shared_->mu);
  return shared_->lost;
}

bool WriteWithin(int descriptor, std::string_view text, absl::Duration limit) {
  int64_t waits = absl::ToInt64Milliseconds(limit) / kLookMs;
  return WriteAll(descriptor, text, [&waits] { return --waits < 0; }) == text.size();
}

}  // namespace longspan
