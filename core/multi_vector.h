// What is the multi-vector model's own on the way from a text to its token vectors: the ids of the
// words that its folder names, and the expansion of queries.
//
//   a query of 5 tokens, expanded to 8:  [CLS] [Q] what is this [SEP]  ->  ... [SEP] [MASK] [MASK]
//
// Free functions without state: thread safe. Proven by multi_vector_test and, against
// sentence-transformers, by tests/parity/compare_multi_vector.py.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model_info.h"

namespace longspan {

class ModelFolder;

// folder.multi_vector() with ids instead of words, by the folder's tokenizer. Words of the skip
// list that are no token do nothing. FAILED_PRECONDITION: the folder has no tokenizer, or expands
// queries by a token that its vocabulary does not have. UNIMPLEMENTED: an expansion that the
// architecture's attention cannot leave out (Reformer, BigBird). Errors of reading the tokenizer
// pass through.
absl::StatusOr<MultiVector> ResolveMultiVector(const ModelFolder& folder);

// What becomes of a text of `own` tokens: those of a query whose expansion is longer, else `own`.
int64_t ExpandedTokens(const ModelInfo& model, TextRole role, int64_t own);
// The longest text that may be asked for where `limit` bounds it (0 = nothing does): a query whose
// length is fixed is no longer than that.
int64_t LongestText(const ModelInfo& model, TextRole role, int64_t limit);

// Puts the tokens of the model's expansion behind the ids of a query, if it has any and there is
// room. `types` grows with the ids where it is not empty. `mask` becomes the attention mask
// (TokenBatch::Text) where the added tokens are not attended; else it stays as it is.
void ExpandQuery(const ModelInfo& model, TextRole role, std::vector<int32_t>* ids,
                 std::vector<int32_t>* types, std::vector<uint8_t>* mask);

}  // namespace longspan
