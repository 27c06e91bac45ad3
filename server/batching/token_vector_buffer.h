// TokenVectorBuffer: the token vectors of one text between the worker that computes them and the
// reply stream that sends them. The worker never waits for a reader: the room for all rows is
// reserved at admission (Admission::ReserveOutput) before the text is queued, and given back block
// by block as they are taken. A slow reader so costs bounded memory and no compute.
//
// Rows that come twice (a batch that ran out of memory is run again in halves) are taken once.
// Thread safety: all methods may be called from any thread; one writer, one reader.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/admission.h"

namespace longspan {

class TokenVectorBuffer {
 public:
  struct Block {
    int64_t first_token = 0;
    int64_t num_tokens = 0;
    std::vector<float> values;  // [num_tokens, dimensions]
  };

  // `on_ready` is called after rows were added, on the worker's thread without a lock held; must
  // not block; may be empty. `rows_per_block`: most rows of one block, so that a block fits one
  // message.
  TokenVectorBuffer(int64_t rows_per_block, std::function<void()> on_ready);

  // Tokenizer thread: room for the rows. Worker thread: rows [first_token, first_token +
  // num_tokens).
  void SetReservation(OutputReservation reservation);
  void Push(int64_t first_token, int64_t num_tokens, int64_t dimensions, const float* values);

  // Reader: the next block, or nullopt where none is there yet (the end is the task's `done`).
  std::optional<Block> TryPop();
  // Reader gone: drops all rows, held and to come.
  void Close();

 private:
  const int64_t rows_per_block_;
  const std::function<void()> on_ready_;

  absl::Mutex mu_;
  OutputReservation reservation_ ABSL_GUARDED_BY(mu_);
  std::deque<Block> blocks_ ABSL_GUARDED_BY(mu_);
  int64_t next_token_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
