// Texts padded to whole blocks, inside the model: BigBird's last block sees, and is seen by, every
// token, so the block borders are part of the model. Only texts that are long enough for the sparse
// pattern are padded; what a text gives depends on its own length alone.
//   block 4, full up to 8:   lengths 5, 10 -> rows 5, 12: the second text gets two rows that nobody reads
#pragma once

#include <cstdint>
#include <vector>

#include "core/models/model.h"
#include "core/token_batch.h"

namespace longspan {

struct PaddingRule {
  int64_t block_size = 64;
  int64_t full_up_to = 0;  // texts up to so many tokens are left as they are
  int32_t pad_token_id = 0;
};

// The batch with padding rows marked by its attention mask.
TokenBatch PadLongTexts(const TokenBatch& batch, const PaddingRule& rule);

// `options` for a pass over `padded`: observe_layer sees the rows of `batch` alone.
ForwardOptions ObserveWithoutPadding(const ForwardOptions& options, const TokenBatch& batch,
                                     const TokenBatch& padded);

}  // namespace longspan
