// OrderedWindow: the records between the one that reads them, those that have them encoded, and the
// one that writes what came of them. They are taken in order, encoded in any order, and written in
// order again. One long text then holds back what stands behind it, so what is encoded and waits
// has a room of its own, large beside that of the texts.
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/bulk/record_source.h"

namespace longspan {

class OrderedWindow {
 public:
  struct Limits {
    size_t records = 0;       // read and not written
    size_t text_bytes = 0;    // of those that are not encoded; a single one may have more
    size_t answer_bytes = 0;  // of those that are, and are not written
  };
  // What came of a record, without its text.
  struct Result {
    Record record;
    absl::StatusOr<v1::Encoding> encoding;
  };
  // A record to encode. `ticket` stands for it in Done.
  struct Job {
    uint64_t ticket = 0;
    const Record* record = nullptr;  // stays until Done
  };

  explicit OrderedWindow(const Limits& limits) : limits_(limits) {}

  // Waits until there is room. False once the window was stopped: the record is not taken.
  bool Put(Record record);
  // There are no further records.
  void Close();
  // Nobody waits any longer. What is encoded can still be taken by Next.
  void Stop();

  // The next record to encode. Waits for one; nothing where there are none, or after Stop.
  std::optional<Job> Take();
  void Done(uint64_t ticket, absl::StatusOr<v1::Encoding> encoding);

  // The next result in order. Waits for it for at most `limit`.
  std::optional<Result> Next(absl::Duration limit);
  // All records were given and their results taken.
  bool is_empty_and_closed() const;

 private:
  struct Slot {
    Result result;
    size_t text_bytes = 0;
    size_t answer_bytes = 0;
    bool done = false;
  };

  bool HasRoom() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool MayTake() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool FrontIsDone() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const Limits limits_;
  mutable absl::Mutex mu_;
  std::deque<Slot> slots_ ABSL_GUARDED_BY(mu_);
  uint64_t first_ ABSL_GUARDED_BY(mu_) = 0;  // ticket of the first slot
  uint64_t taken_ ABSL_GUARDED_BY(mu_) = 0;  // ticket of the next one to encode
  size_t text_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t answer_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
