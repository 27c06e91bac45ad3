// TokenizerArguments: what the small files beside a vocabulary say, as the one set of arguments
// that `transformers` calls a tokenizer class with (_from_pretrained of
// PreTrainedTokenizerBase, 5.23):
//
//   tokenizer_config.json     all arguments; "added_tokens_decoder" lists the added tokens
//   special_tokens_map.json   wins over it, and is read only where added_tokens_decoder is absent
//   added_tokens.json         likewise, and so are the "added_tokens" of tokenizer.json
//
// A token is a JSON object as in the "added_tokens" of a tokenizer.json, without an id:
//
//   {"content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
//    "normalized": false, "special": true}
//
// A plain value and free functions: thread safe. Proven by tokenizer_folder_test and
// tokenizer_class_test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/json_reader.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct TokenizerArguments {
  JsonReader values;  // every argument; errors name tokenizer_config.json
  std::map<int64_t, nlohmann::json> added_tokens;  // by the ids that the files give them
  std::vector<nlohmann::json> named_tokens;  // of roles beyond the seven, such as "image_token"
  std::vector<nlohmann::json> extra_special_tokens;
};

// `file_tokens`: the "added_tokens" of tokenizer.json with their ids; empty where there is no such
// file. INVALID_ARGUMENT, UNIMPLEMENTED: a key that cannot be read or is not supported; the message
// names file and key.
absl::StatusOr<TokenizerArguments> ReadTokenizerArguments(const std::string& folder,
                                                          const nlohmann::json& file_tokens);

// The token of one of the seven roles, "cls_token" and the like. `fallback` is the class's own text
// for it, null where the class has none. `swallows_blanks`: a token that is given without rules
// takes the blanks in front of it, as the mask of some classes does. nullopt: there is no such
// token. Errors stay in arguments.values.
std::optional<nlohmann::json> RoleToken(TokenizerArguments& arguments, const std::string& role,
                                        const char* fallback, bool swallows_blanks);

// Which tokens the base class adds to the vocabulary, in its order. `roles`: the tokens of the
// seven roles, in order. `file_tokens` as above: those that the tokenizer has already.
std::vector<nlohmann::json> TokensToAdd(const TokenizerArguments& arguments,
                                        const std::vector<nlohmann::json>& roles,
                                        const nlohmann::json& file_tokens);

}  // namespace longspan
