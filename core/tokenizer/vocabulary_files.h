// Tokenizers of folders that have no tokenizer.json, built from their vocabulary files as the
// tokenizer classes of `transformers` do it.
//
// Both functions return the text of a tokenizer.json. In `folder` they look for
// special_tokens_map.json, tokenizer_config.json and added_tokens.json (all optional), and errors
// name it. INVALID_ARGUMENT: files that do not say what they should. UNIMPLEMENTED:
// tokenizer_config.json names a class that reads these files otherwise.
//
// Free functions without state: thread safe. Proven by tokenizer_folder_test and
// tokenizer_parity_test.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace longspan {

// Byte-level BPE with RobertaProcessing (<s> A </s>), from vocab.json (token -> id) and merges.txt
// (each line is "left right", and its number is the rank of the merge).
absl::StatusOr<std::string> BuildByteLevelBpe(const std::string& folder,
                                              std::string_view vocab_json,
                                              std::string_view merges_txt);

// BertNormalizer, BertPreTokenizer, WordPiece and [CLS] A [SEP], from vocab.txt (each line is a
// token, and its number is the id).
absl::StatusOr<std::string> BuildWordPiece(const std::string& folder, std::string_view vocab_txt);

}  // namespace longspan
