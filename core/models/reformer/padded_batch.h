// PaddedBatch: the texts of a TokenBatch one behind the other, each with its padding
// (ReformerConfig::PaddedLength). A Reformer's output depends on the padded length: the chunks are
// a circle, so the first chunk sees the last one. Every text therefore gets exactly the padding
// that it would get alone, and its neighbours in the batch do not matter.
//
//   multiple 4, texts of 6 and 3 tokens:   rows a b c d e f . . | g h i
//   the second text fits one chunk, so it gets no padding
//
// The texts lie in the order of the batch, or in another that the caller gives.
//
// A value type, constant after construction. Proven by reformer_model_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/attention/local_chunk_attention.h"
#include "core/models/reformer/config.h"
#include "core/token_batch.h"

namespace longspan {

class PaddedBatch {
 public:
  // row_order: the texts as their rows shall lie; empty = in the order of the batch.
  PaddedBatch(const TokenBatch& batch, const ReformerConfig& config,
              std::span<const int32_t> row_order = {});

  int64_t num_rows() const { return static_cast<int64_t>(token_ids_.size()); }
  // [B] in the order of the batch, with padded lengths.
  const std::vector<ChunkedText>& texts() const { return texts_; }
  // [rows], padding included.
  const std::vector<int32_t>& token_ids() const { return token_ids_; }
  // [rows], 0 = not read; empty where every row is read.
  const std::vector<uint8_t>& key_mask() const { return key_mask_; }
  // First row of each text, [B].
  std::vector<int64_t> text_begin() const;

 private:
  std::vector<ChunkedText> texts_;
  std::vector<int32_t> token_ids_;
  std::vector<uint8_t> key_mask_;
};

}  // namespace longspan
