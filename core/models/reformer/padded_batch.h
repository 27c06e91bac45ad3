// PaddedBatch: the texts of a TokenBatch, each padded to its own multiple, one behind the other. A
// Reformer's output depends on the padded length (the chunks are a circle, and the last chunk is
// what the first one sees), so every text gets exactly the padding it would get alone, and
// neighbours in the batch do not matter.
//
//   multiple 4, texts of 6 and 3 tokens:   rows a b c d e f . . | g h i        (3 tokens fit one chunk: no padding)
//
// A value type, constant after construction.
#pragma once

#include <cstdint>
#include <vector>

#include "core/attention/local_chunk_attention.h"
#include "core/models/reformer/config.h"
#include "core/token_batch.h"

namespace longspan {

class PaddedBatch {
 public:
  PaddedBatch(const TokenBatch& batch, const ReformerConfig& config);

  int64_t num_rows() const { return static_cast<int64_t>(token_ids_.size()); }
  const std::vector<ChunkedText>& texts() const {
    return texts_;
  }  // by text of the batch, padded lengths
  const std::vector<int32_t>& token_ids() const { return token_ids_; }  // [rows], pads included
  const std::vector<uint8_t>& key_mask() const {
    return key_mask_;
  }  // empty where every row is read, or [rows]
  std::vector<int64_t> text_begin() const;

 private:
  std::vector<ChunkedText> texts_;
  std::vector<int32_t> token_ids_;
  std::vector<uint8_t> key_mask_;
};

}  // namespace longspan
