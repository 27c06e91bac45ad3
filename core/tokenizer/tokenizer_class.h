// TokenizerClass: which tokenizer class of `transformers` a folder gets, and what that class makes
// of the folder's files.
//
// Most classes do not take a tokenizer.json as it is. BertTokenizer, say, takes its vocabulary and
// builds the rest anew, from its own rules and from tokenizer_config.json:
//
//   tokenizer.json          normalizer: lowercase true      vocabulary, merges
//   tokenizer_config.json   do_lower_case: false            cls_token, ...
//   BertTokenizer           BertNormalizer(lowercase false), [CLS] A [SEP] of these tokens
//
// So the configuration wins there. PreTrainedTokenizerFast takes the file as it is, and so do names
// that the library does not know. A class of the library that is not written down here is refused,
// since what it builds is not known.
//
// Sources: models/*/tokenization_*.py and models/auto/tokenization_auto.py of transformers 5.23.
// Plain values and free functions: thread safe. Proven by tokenizer_class_test, on cases that
// tests/parity/compare_tokenizer_files.py recorded.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tokenizer/tokenizer_arguments.h"
#include "nlohmann/json.hpp"

namespace longspan {

// What a class does with the file. Classes that differ in their defaults only share a kind.
enum class TokenizerKind {
  kFile,  // PreTrainedTokenizerFast: tokenizer.json as it is
  kBert,
  kRoberta,
  kXlmRoberta,
  kCamembert,
  kBigBird,
  kReformer,
  kMpnet,
  kAlbert,
  kHerbert,
};

struct TokenizerClass {
  TokenizerKind kind = TokenizerKind::kFile;
  std::string name;        // without "Fast"
  const char* model = "";  // "WordPiece", "BPE", "Unigram"; empty = any
  bool mask_swallows_blanks = false;
  // True: the class passes token types to the model where tokenizer_config.json does not say.
  bool passes_types = false;
  // The texts of bos, eos, unk, sep, pad, cls and mask; null = none.
  std::array<const char*, 7> defaults = {};
};

// `named`: the tokenizer_class of tokenizer_config.json, else of config.json; empty = neither names
// one. `model_type`: of config.json; empty = there is none. `byte_level`: tokenizer.json holds a
// ByteLevel component. UNIMPLEMENTED: a class that is not known here; `source` names the file.
absl::StatusOr<TokenizerClass> ResolveTokenizerClass(const std::string& named,
                                                     const std::string& model_type, bool byte_level,
                                                     const std::string& source);

// What a class builds. `document` is the tokenizer.json without its vocabulary.
struct TokenizerRecipe {
  // "model", "normalizer", "pre_tokenizer" and "decoder" instead of the file's; null = the file's.
  nlohmann::json components;
  // The names of tokens that the class puts around a text, which the vocabulary must have: the role
  // in an error, and the token.
  struct Required {
    const char* role;
    std::string token;
  };
  std::vector<Required> required;
  std::vector<nlohmann::json> tokens;        // to be added, in this order
  std::vector<nlohmann::json> later_tokens;  // to be added once more, after those
  std::map<int64_t, std::string> added_ids;  // the ids that the files give added tokens
  // The post-processor, made when all tokens have ids; empty = the file's.
  std::function<nlohmann::json(const std::function<int64_t(const std::string&)>& id_of)>
      post_processor;
  bool passes_types = false;  // the model is given token type ids
  bool split_special_tokens = false;
  // The tokens of these roles; empty = there is none.
  std::string mask_token, end_token, unknown_token;
};

// Errors are those of the arguments (INVALID_ARGUMENT): the message names file and key.
absl::StatusOr<TokenizerRecipe> MakeRecipe(const TokenizerClass& of, TokenizerArguments arguments,
                                           const nlohmann::json& document);

}  // namespace longspan
