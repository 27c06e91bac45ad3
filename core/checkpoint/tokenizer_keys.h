// What becomes of each key of the tokenizer's small files. Made from what transformers 5.23 reads:
// PreTrainedTokenizerBase, TokenizersBackend, AutoTokenizer, and the tokenizer classes of
// core/tokenizer/tokenizer_class.h. Thread safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/checkpoint/known_keys.h"

namespace longspan {

const KeyTable& TokenizerConfigKeys();   // tokenizer_config.json
const KeyTable& SpecialTokensMapKeys();  // special_tokens_map.json
const KeyTable& TokenizerJsonKeys();     // tokenizer.json

// Compares both of the folder's small files with their tables; errors and `warnings` as of
// CheckKeys.
absl::Status CheckTokenizerKeys(const std::string& folder, std::vector<std::string>* warnings);

}  // namespace longspan
