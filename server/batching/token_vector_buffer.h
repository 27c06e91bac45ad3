// TokenVectorBuffer: the token vectors of one text between the worker that computes them and the
// reply stream that sends them. The worker never waits for a reader: room for all rows is reserved
// (Admission::ReserveOutput) before the text is queued, and given back block by block as the blocks
// are taken. So a slow reader costs bounded memory and no compute.
//
// A batch that ran out of memory is run again in halves and hands in its rows a second time; each
// row is taken once, also where memory ran out while rows were taken. Proven by
// token_vector_buffer_test.
//
// Thread safety: all methods may be called from any thread; one writer, one reader.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/token_batch.h"
#include "server/batching/admission.h"

namespace longspan {

class TokenVectorBuffer {
 public:
  struct Block {
    int64_t first_token = 0;
    int64_t num_rows = 0;
    std::vector<float> values;  // [num_rows, dimensions]
    // The tokens whose rows these are, where some between them are left out; empty = they stand one
    // behind the other.
    std::vector<TokenRange> ranges;

    std::vector<TokenRange> TokenRanges() const {
      if (!ranges.empty()) return ranges;
      return {{first_token, first_token + num_rows}};
    }
  };

  // `rows_per_block`: most rows of one block, so that a block fits one message, >= 1. `on_ready` is
  // called after rows were added, on the worker's thread with no lock held; it must not block and
  // may be empty.
  TokenVectorBuffer(int64_t rows_per_block, std::function<void()> on_ready);

  // Tokenizer thread: hands over the room for all rows.
  void SetReservation(OutputReservation reservation);
  // Worker thread: rows [first_token, first_token + num_tokens), each of `dimensions` values. Rows
  // come in order, and may come again. Rows behind a gap join a block that waits and has room. May
  // throw std::bad_alloc; the rows that were taken by then are not taken again.
  void Push(int64_t first_token, int64_t num_tokens, int64_t dimensions, const float* values);

  // Reader: the next block, or nullopt where none is there yet. That no more will come is known
  // from the task's `done`.
  std::optional<Block> TryPop();
  // The reader is gone: drops the rows that wait and all that are still to come.
  void Close();

 private:
  // Puts rows of [row, end) behind the last block, where a gap lies between; how many.
  int64_t Join(int64_t row, int64_t end, int64_t dimensions, const float* values)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t rows_per_block_;
  const std::function<void()> on_ready_;

  absl::Mutex mu_;
  OutputReservation reservation_ ABSL_GUARDED_BY(mu_);
  std::deque<Block> blocks_ ABSL_GUARDED_BY(mu_);
  int64_t next_token_ ABSL_GUARDED_BY(mu_) = 0;  // first row that was not handed in yet
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
