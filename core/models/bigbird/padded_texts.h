// Texts padded to whole blocks, inside the model. BigBird's last block sees, and is seen by, every
// token, so the borders of the blocks are part of the model. Only texts that are long enough for
// the sparse pattern are padded. The padding of a text, and so its result, depends on its own
// length alone.
//   blocks of 4, full attention up to 8 tokens:  lengths 5 and 10 -> 5 and 12 rows; the second text
//   gets two rows that nobody reads
#pragma once

#include <cstdint>
#include <vector>

#include "core/models/model.h"
#include "core/token_batch.h"

namespace longspan {

struct PaddingRule {
  int64_t block_size = 64;
  int64_t full_up_to = 0;  // the longest text that is left as it is, in tokens
  int32_t pad_token_id = 0;
};

// The batch with its padding. The attention mask marks the padding as not read. Global positions
// and hashing options are left out, since BigBird has neither.
TokenBatch PadLongTexts(const TokenBatch& batch, const PaddingRule& rule);

// The `options` of a pass over `batch`, for a pass over `padded`: observe_layer is given the rows
// of `batch` alone. All three must outlive the result.
ForwardOptions ObserveWithoutPadding(const ForwardOptions& options, const TokenBatch& batch,
                                     const TokenBatch& padded);

}  // namespace longspan
