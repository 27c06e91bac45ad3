#include "core/token_batch.h"

namespace longspan {

int32_t TokenBatch::Add(const Text& text) {
  const int32_t offset = cu_seqlens_.back();
  token_ids_.insert(token_ids_.end(), text.token_ids.begin(), text.token_ids.end());
  for (int32_t position : text.global_positions) globals_.push_back(offset + position);
  cu_globals_.push_back(static_cast<int32_t>(globals_.size()));
  // The first text with a mask: all tokens of the texts before it are read.
  if (!text.attention_mask.empty() && mask_.empty()) mask_.assign(offset, 1);
  if (!text.attention_mask.empty()) {
    mask_.insert(mask_.end(), text.attention_mask.begin(), text.attention_mask.end());
  } else if (!mask_.empty()) {
    mask_.resize(token_ids_.size(), 1);
  }
  // The first text with types: all tokens of the texts before it have type 0.
  if (!text.token_types.empty() && token_types_.empty()) token_types_.assign(offset, 0);
  if (!text.token_types.empty()) {
    token_types_.insert(token_types_.end(), text.token_types.begin(), text.token_types.end());
  } else if (!token_types_.empty()) {
    token_types_.resize(token_ids_.size(), 0);
  }
  lsh_.push_back(text.lsh);
  cu_seqlens_.push_back(static_cast<int32_t>(token_ids_.size()));
  return num_texts() - 1;
}

}  // namespace longspan
