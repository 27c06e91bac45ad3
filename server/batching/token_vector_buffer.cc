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

TokenVectorBuffer::TokenVectorBuffer(int64_t rows_per_block, std::function<void()> on_ready)
    : rows_per_block_(std::max<int64_t>(1, rows_per_block)), on_ready_(std::move(on_ready)) {}

void TokenVectorBuffer::SetReservation(OutputReservation reservation) {
  absl::MutexLock lock(&mu_);
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
    const auto values_of = [&](int64_t row) { return values + (row - first_token) * dimensions; };
    next_token_ = begin + Join(begin, end, dimensions, values_of(begin));
    while (next_token_ < end) {
      const int64_t rows = std::min(rows_per_block_, end - next_token_);
      const float* from = values_of(next_token_);
      blocks_.push_back(
          {next_token_, rows, std::vector<float>(from, from + rows * dimensions), {}});
      next_token_ += rows;
    }
  }
  if (on_ready_) on_ready_();
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

void TokenVectorBuffer::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  blocks_.clear();
  reservation_ = {};
}

}  // namespace longspan
