// SentenceLayout: the sentence-transformers files around a transformer, read by the rules of that
// library (models as of 2019 to 2026): which modules stand behind the transformer, the longest
// text, prompts.
//
//   modules.json  [Transformer "" or "0_Transformer", Pooling "1_Pooling", Dense "2_Dense" ..., Normalize "3_Normalize"]
//
// Only this order is read; modules are told by the last component of their type, so the module
// paths of old and new library versions are the same to us. A module, mode or activation that is
// not known here is an error: a vector without it would be another vector. A folder without
// modules.json is a plain transformer: mean pooling (lasttoken for a causal language model), not
// normalised, no prompts.  Proven by model_folder_test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/model_folder.h"
#include "core/model_info.h"
#include "nlohmann/json.hpp"

namespace longspan {

// modules.json of `folder`: the paths of its modules, absolute; empty paths where there is no such
// module.
struct SentenceModules {
  std::string transformer;
  std::string pooling;
  std::vector<std::string> dense;
  std::optional<std::string> normalize;
};
// nullopt: there is no modules.json.
absl::StatusOr<std::optional<SentenceModules>> ReadModules(const std::string& folder);

struct PoolingConfig {
  std::vector<PoolingMode> modes;  // concatenated in this order
  bool include_prompt = true;
  std::optional<int64_t> dimensions;  // of one token vector, where the file says
};
absl::StatusOr<PoolingConfig> ReadPooling(const std::string& module_path);
absl::StatusOr<DenseModule> ReadDense(const std::string& module_path);
absl::Status CheckNormalize(const std::string& module_path);

// True for architectures of config.json whose last token has read the whole text.
bool IsCausalLanguageModel(const nlohmann::json& config);

struct LengthAndCase {
  std::optional<int64_t>
      // of sentence_bert_config.json or its namesakes, else model_max_length of the tokenizer
      max_seq_length;
  bool do_lower_case = false;
};
absl::StatusOr<LengthAndCase> ReadLengthAndCase(const std::string& transformer_path);

struct SentencePrompts {
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;  // empty = none
  std::optional<int64_t> truncate_dim;
};
absl::StatusOr<SentencePrompts> ReadPrompts(const std::string& folder);

}  // namespace longspan
