// SpecialTokens: the special tokens of a folder that has no tokenizer.json: what they are called,
// and how they are found in a text. Constant after Read, then thread safe. Proven by
// tokenizer_folder_test.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longspan {

class SpecialTokens {
 public:
  // Reads the special tokens of `folder`. `defaults` are those of the tokenizer class: role
  // ("cls_token") -> text ("<s>"). special_tokens_map.json wins over tokenizer_config.json, which
  // wins over the defaults. "additional_special_tokens" and the tokens of added_tokens.json follow.
  // `mask_swallows_blanks`: the mask token takes the blanks in front of it, unless the files say
  // otherwise (RoBERTa's does, BERT's does not). INVALID_ARGUMENT names the file and the token.
  static absl::StatusOr<SpecialTokens> Read(const std::string& folder,
                                            const std::map<std::string, std::string>& defaults,
                                            bool mask_swallows_blanks);

  // The text of a role of `defaults`.
  const std::string& Text(const std::string& role) const { return roles_.at(role); }

  // The "added_tokens" list of a tokenizer.json, ordered by id: those tokens that the vocabulary
  // (token -> id) or added_tokens.json has.
  nlohmann::json AddedTokens(const nlohmann::json& vocabulary) const;

 private:
  std::map<std::string, std::string> roles_;
  std::vector<nlohmann::json> tokens_;        // entries of "added_tokens" that have no ids yet
  std::map<std::string, int64_t> added_ids_;  // what added_tokens.json says
};

}  // namespace longspan
