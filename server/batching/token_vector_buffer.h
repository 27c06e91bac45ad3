// TokenVectorBuffer: the token vectors of one text between the worker that computes them and the
// reply stream that sends them. The worker never waits for a reader: room for all rows is reserved
// (Admission::ReserveOutput) before the text is queued, and given back block by block as the blocks
// are taken. So a slow reader costs bounded memory and no compute.
//
// A batch that ran out of memory is run again in halves and hands in its rows a second time; each
// row is taken once, also where memory ran out while rows were taken. Where neighbours are pooled,
// their rows wait in a TokenGroup until all are there, and their mean is what a block holds. Proven
// by token_vector_buffer_test.
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
#include "server/batching/token_group.h"

namespace longspan {

class TokenVectorBuffer {
 public:
  struct Block {
    int64_t first_token = 0;
    int64_t num_rows = 0;
    std::vector<float> values;  // [num_rows, dimensions]
    // The tokens whose rows these are, where some between them are left out, or where they are
    // pooled; empty = they stand one behind the other.
    std::vector<TokenRange> ranges;
    // How many of these tokens each row stands for, where they are pooled; empty = one each.
    std::vector<uint32_t> tokens_per_row;

    std::vector<TokenRange> TokenRanges() const {
      if (!ranges.empty()) return ranges;
      return {{first_token, first_token + num_rows}};
    }
    uint32_t TokensOfRow(int64_t row) const {
      return tokens_per_row.empty() ? 1 : tokens_per_row[row];
    }
  };

  // `rows_per_block`: most rows of one block, so that a block fits one message, >= 1. `on_ready` is
  // called after rows were added, on the worker's thread with no lock held; it must not block and
  // may be empty.
  TokenVectorBuffer(int64_t rows_per_block, std::function<void()> on_ready,
                    TokenPooling pooling = {});

  // Tokenizer thread: hands over the room for all rows, and where no rows are pooled across
  // (PreparedText::gap).
  void SetReservation(OutputReservation reservation, int64_t gap = 0);
  // Worker thread: rows [first_token, first_token + num_tokens), each of `dimensions` values. Rows
  // come in order, and may come again. Rows behind a gap join a block that waits and has room. May
  // throw std::bad_alloc; the rows that were taken by then are not taken again.
  void Push(int64_t first_token, int64_t num_tokens, int64_t dimensions, const float* values);

  // Reader: the next block, or nullopt where none is there yet. That no more will come is known
  // from the task's `done`.
  std::optional<Block> TryPop();
  // Reader: no more rows come, so the last ones are pooled, however few. May throw std::bad_alloc.
  // Calls after the first do nothing.
  void End();
  // Rows that wait.
  int64_t num_rows() const;
  // The reader is gone: drops the rows that wait and all that are still to come.
  void Close();

 private:
  // Puts rows of [row, end) behind the last block, where a gap lies between; how many.
  int64_t Join(int64_t row, int64_t end, int64_t dimensions, const float* values)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Cuts rows of [row, end) into blocks.
  void Cut(int64_t row, int64_t end, int64_t dimensions, const float* values)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Adds rows of [row, end) to the groups that they belong to.
  void Pool(int64_t row, int64_t end, int64_t dimensions, const float* values)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Puts the mean of the group behind the last row. A new block gets room for `expected` rows, or
  // as many as it takes.
  void AppendGroup(int64_t expected) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t rows_per_block_;
  const std::function<void()> on_ready_;
  const TokenPooling pooling_;

  mutable absl::Mutex mu_;
  OutputReservation reservation_ ABSL_GUARDED_BY(mu_);
  std::deque<Block> blocks_ ABSL_GUARDED_BY(mu_);
  TokenGroup group_ ABSL_GUARDED_BY(mu_);        // empty where nothing is pooled
  int64_t next_token_ ABSL_GUARDED_BY(mu_) = 0;  // first row that was not handed in yet
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
