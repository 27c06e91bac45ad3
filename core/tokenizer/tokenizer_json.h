// tokenizer.json, looked over before the crate reads it: bounded in nesting and piece length, every
// component of a type that is supported, so that an error names the component and not a line of a
// parser. The vocabulary itself is left to the crate.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace longspan {

struct AddedToken {
  std::string content;
  int64_t id = 0;
};

struct TokenizerJsonSummary {
  bool lowercases = false;  // a normaliser already makes lower case
  bool cuts_at_blanks =
      false;  // a text may be tokenised in parts (text_chunks.h): nothing reaches over a blank
  std::vector<AddedToken> added_tokens;  // with the ids that the file gives them
};

// `name` is the file's name in errors. INVALID_ARGUMENT: not a tokenizer.json. UNIMPLEMENTED: a
// component of an unknown type.
absl::StatusOr<TokenizerJsonSummary> InspectTokenizerJson(std::string_view text,
                                                          const std::string& name);

}  // namespace longspan
