// The vocabulary files of folders that have no tokenizer.json, as the text of a tokenizer.json that
// holds the model alone. The tokenizer class makes the rest (tokenizer_class.h).
//
// INVALID_ARGUMENT: files that do not say what they should; errors name `folder`.
//
// Free functions without state: thread safe. Proven by tokenizer_folder_test and
// tokenizer_parity_test.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace longspan {

// BPE, from vocab.json (token -> id) and merges.txt (each line is "left right", and its number is
// the rank of the merge).
absl::StatusOr<std::string> BytePairModel(const std::string& folder, std::string_view vocab_json,
                                          std::string_view merges_txt);

// WordPiece, from vocab.txt (each line is a token, and its number is the id).
std::string WordPieceModel(std::string_view vocab_txt);

}  // namespace longspan
