// tokenizer.json, checked before the crate reads it. Its nesting and its strings must be bounded
// and every component must be of a type that is supported, so that an error names the component and
// not a line of a parser. The vocabulary itself is left to the crate. A free function without
// state: thread safe. Proven by tokenizer_folder_test and tokenizer_chunks_test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct AddedToken {
  std::string content;
  int64_t id = 0;
};

struct TokenizerJsonSummary {
  bool lowercases = false;  // a normaliser already makes lower case
  // No component reaches over a blank, so a text may be tokenised in parts (text_chunks.h).
  bool cuts_at_blanks = false;
  std::vector<AddedToken> added_tokens;  // with the ids that the file gives them
};

// The document without the model's vocabulary and merges, which are most of the file. `name` is the
// file's name in errors. INVALID_ARGUMENT: not a tokenizer.json.
absl::StatusOr<nlohmann::json> ParseTokenizerJson(std::string_view text, const std::string& name);

// INVALID_ARGUMENT: not what such a document holds. UNIMPLEMENTED: a component of a type that is
// not supported.
absl::StatusOr<TokenizerJsonSummary> InspectTokenizerJson(const nlohmann::json& document,
                                                          const std::string& name);

// The document's "added_tokens"; an empty list where there are none.
nlohmann::json AddedTokensOf(const nlohmann::json& document);

}  // namespace longspan
