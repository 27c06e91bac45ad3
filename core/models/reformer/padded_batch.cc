#include "core/models/reformer/padded_batch.h"

#include <algorithm>

namespace longspan {

PaddedBatch::PaddedBatch(const TokenBatch& batch, const ReformerConfig& config,
                         std::span<const int32_t> row_order)
    : texts_(batch.num_texts()) {
  int64_t rows = 0;
  for (int32_t i = 0; i < batch.num_texts(); ++i) {
    const int32_t text = row_order.empty() ? i : row_order[i];
    const int64_t length = config.PaddedLength(batch.length(text));
    texts_[text] = {rows, static_cast<int32_t>(length)};
    rows += length;
  }
  token_ids_.assign(rows, static_cast<int32_t>(config.pad_token_id));
  const std::vector<uint8_t>& mask = batch.attention_mask();
  const bool all_read = rows == batch.num_tokens() && std::count(mask.begin(), mask.end(), 0) == 0;
  if (!all_read) key_mask_.assign(rows, 0);
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    const int64_t begin = batch.cu_seqlens()[text];
    const int64_t count = batch.length(text);
    const int64_t row = texts_[text].row_begin;
    std::copy_n(batch.token_ids().begin() + begin, count, token_ids_.begin() + row);
    if (all_read) continue;
    if (mask.empty()) {
      std::fill_n(key_mask_.begin() + row, count, 1);
    } else {
      std::copy_n(mask.begin() + begin, count, key_mask_.begin() + row);
    }
  }
}

std::vector<int64_t> PaddedBatch::text_begin() const {
  std::vector<int64_t> begin;
  begin.reserve(texts_.size());
  for (const ChunkedText& text : texts_) begin.push_back(text.row_begin);
  return begin;
}

}  // namespace longspan
