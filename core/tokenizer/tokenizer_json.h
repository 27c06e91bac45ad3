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
#include "core/tokenizer/cut_rules.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct AddedToken {
  std::string content;
  int64_t id = 0;
};

struct TokenizerJsonSummary {
  bool lowercases = false;               // a normaliser already makes lower case
  std::vector<AddedToken> added_tokens;  // with the ids that the file gives them
};

// The document without the model's vocabulary and merges, which are most of the file. `name` is the
// file's name in errors. INVALID_ARGUMENT: not a tokenizer.json.
absl::StatusOr<nlohmann::json> ParseTokenizerJson(std::string_view text, const std::string& name);

// INVALID_ARGUMENT: not what such a document holds. UNIMPLEMENTED: a component of a type that is
// not supported.
absl::StatusOr<TokenizerJsonSummary> InspectTokenizerJson(const nlohmann::json& document,
                                                          const std::string& name);

// Where a text may be cut (text_chunks.h), of a document that InspectTokenizerJson accepted.
// `more_tokens`: those that are added beside the document's. `lowercases_first`: a step that makes
// lower case is put in front of the document's normaliser.
CutRules CutRulesOf(const nlohmann::json& document, const std::vector<nlohmann::json>& more_tokens,
                    bool lowercases_first);

// The document's "added_tokens"; an empty list where there are none.
nlohmann::json AddedTokensOf(const nlohmann::json& document);

}  // namespace longspan
