// SpecialTokens: the special tokens of a folder without a tokenizer.json: their text, and how they
// are found in a text.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longspan {

class SpecialTokens {
 public:
  // `defaults`: role ("cls_token") -> text ("<s>"), the tokenizer class's own.
  // special_tokens_map.json wins over tokenizer_config.json, which wins over the defaults. Tokens
  // of added_tokens.json and "additional_special_tokens" follow. `mask_swallows_blanks`: the mask
  // takes the blanks before it, unless the files say otherwise (RoBERTa's does, BERT's does not).
  static absl::StatusOr<SpecialTokens> Read(const std::string& folder,
                                            const std::map<std::string, std::string>& defaults,
                                            bool mask_swallows_blanks);

  const std::string& Text(const std::string& role) const { return roles_.at(role); }

  // The "added_tokens" list of a tokenizer.json: those that the vocabulary (token -> id) or
  // added_tokens.json has, by id.
  nlohmann::json AddedTokens(const nlohmann::json& vocabulary) const;

 private:
  std::map<std::string, std::string> roles_;
  std::vector<nlohmann::json> tokens_;        // entries of "added_tokens", ids still open
  std::map<std::string, int64_t> added_ids_;  // added_tokens.json
};

}  // namespace longspan
