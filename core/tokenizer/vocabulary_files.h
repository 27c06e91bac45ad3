// Tokenizers of folders without a tokenizer.json, built from their vocabulary files as the
// tokenizer classes of `transformers` do. Both return the text of a tokenizer.json. `folder` is
// where special_tokens_map.json, tokenizer_config.json and added_tokens.json are looked for (all
// optional) and the name in errors.
// UNIMPLEMENTED: tokenizer_config.json names a class that reads these files otherwise.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace longspan {

// vocab.json (token -> id) and merges.txt ("left right" a line, rank = line): byte-level BPE,
// RobertaProcessing.
absl::StatusOr<std::string> BuildByteLevelBpe(const std::string& folder,
                                              std::string_view vocab_json,
                                              std::string_view merges_txt);

// vocab.txt (one token a line, id = line): BertNormalizer, BertPreTokenizer, WordPiece, [CLS] A
// [SEP].
absl::StatusOr<std::string> BuildWordPiece(const std::string& folder, std::string_view vocab_txt);

}  // namespace longspan
