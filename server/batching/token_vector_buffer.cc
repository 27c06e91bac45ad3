#include "server/batching/token_vector_buffer.h"

#include <algorithm>
#include <utility>

namespace longspan {
namespace {

// Room for `more` values, so that they can be appended without a throw. Grows as push_back would.
template <typename T>
void MakeRoom(size_t more, std::vector<T>* values) {
  const size_t needed = values->size() + more;
  if (needed > values->capacity()) values->reserve(std::max(needed, 2 * values->capacity()));
}

}  // namespace

TokenVectorBuffer::TokenVectorBuffer(int64_t rows_per_block, std::function<void()> on_ready,
                                     TokenPooling pooling)
    : rows_per_block_(std::max<int64_t>(1, rows_per_block)),
      on_ready_(std::move(on_ready)),
      pooling_(pooling),
      group_(pooling) {}

void TokenVectorBuffer::SetReservation(OutputReservation reservation, int64_t gap) {
  absl::MutexLock lock(&mu_);
  group_.SetGap(gap);
  if (!closed_) reservation_ = std::move(reservation);
}

void TokenVectorBuffer::Push(int64_t first_token, int64_t num_tokens, int64_t dimensions,
                             const float* values) {
  {
    absl::MutexLock lock(&mu_);
    const int64_t end = first_token + num_tokens;
    if (closed_ || end <= next_token_) return;
    // The rows before were taken when the batch ran for the first time.
    const int64_t begin = std::max(first_token, next_token_);
    const float* fresh = values + (begin - first_token) * dimensions;
    if (pooling_.factor > 1) {
      Pool(begin, end, dimensions, fresh);
    } else {
      Cut(begin, end, dimensions, fresh);
    }
  }
  if (on_ready_) on_ready_();
}

void TokenVectorBuffer::Cut(int64_t row, int64_t end, int64_t dimensions, const float* values) {
  next_token_ = row + Join(row, end, dimensions, values);
  while (next_token_ < end) {
    const int64_t rows = std::min(rows_per_block_, end - next_token_);
    const float* from = values + (next_token_ - row) * dimensions;
    blocks_.push_back(
        {next_token_, rows, std::vector<float>(from, from + rows * dimensions), {}, {}});
    next_token_ += rows;
  }
}

void TokenVectorBuffer::Pool(int64_t row, int64_t end, int64_t dimensions, const float* values) {
  for (int64_t token = row; token < end; ++token, values += dimensions) {
    if (!group_.empty() && group_.EndsBefore(token))
      AppendGroup(1 + (end - token) / pooling_.factor);
    group_.Add(token, {values, static_cast<size_t>(dimensions)});
    next_token_ = token + 1;
  }
}

void TokenVectorBuffer::AppendGroup(int64_t expected) {
  // First all that may throw, on a block that nobody sees yet, or that stays as it is.
  Block fresh{.first_token = group_.tokens().front()};
  const bool is_new = blocks_.empty() || blocks_.back().num_rows == rows_per_block_;
  const int64_t rows = is_new ? std::min(rows_per_block_, expected) : 1;
  Block& target = is_new ? fresh : blocks_.back();
  MakeRoom(group_.tokens().size(), &target.ranges);
  MakeRoom(1, &target.tokens_per_row);
  MakeRoom(static_cast<size_t>(rows) * group_.width(), &target.values);
  if (is_new) blocks_.push_back(std::move(fresh));
  Block& last = blocks_.back();
  for (const int64_t token : group_.tokens()) {
    if (last.ranges.empty() || last.ranges.back().end != token)
      last.ranges.push_back({token, token});
    last.ranges.back().end = token + 1;
  }
  last.tokens_per_row.push_back(static_cast<uint32_t>(group_.tokens().size()));
  ++last.num_rows;
  group_.TakeMean(&last.values);
}

int64_t TokenVectorBuffer::Join(int64_t row, int64_t end, int64_t dimensions, const float* values) {
  if (blocks_.empty()) return 0;
  Block& last = blocks_.back();
  const int64_t last_end =
      last.ranges.empty() ? last.first_token + last.num_rows : last.ranges.back().end;
  const int64_t rows = std::min(end - row, rows_per_block_ - last.num_rows);
  if (row <= last_end || rows <= 0) return 0;
  MakeRoom(2, &last.ranges);
  MakeRoom(static_cast<size_t>(rows * dimensions), &last.values);
  if (last.ranges.empty()) last.ranges.push_back({last.first_token, last_end});
  last.ranges.push_back({row, row + rows});
  last.values.insert(last.values.end(), values, values + rows * dimensions);
  last.num_rows += rows;
  return rows;
}

std::optional<TokenVectorBuffer::Block> TokenVectorBuffer::TryPop() {
  absl::MutexLock lock(&mu_);
  if (blocks_.empty()) return std::nullopt;
  Block block = std::move(blocks_.front());
  blocks_.pop_front();
  reservation_.Shrink(static_cast<int64_t>(block.values.size() * sizeof(float)));
  return block;
}

void TokenVectorBuffer::End() {
  absl::MutexLock lock(&mu_);
  if (!closed_ && !group_.empty()) AppendGroup(/*expected=*/1);
}

int64_t TokenVectorBuffer::num_rows() const {
  absl::MutexLock lock(&mu_);
  int64_t rows = 0;
  for (const Block& block : blocks_) rows += block.num_rows;
  return rows;
}

void TokenVectorBuffer::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  blocks_.clear();
  reservation_ = {};
}

}  // namespace longspan
