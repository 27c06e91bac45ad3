// The sentence-transformers files around a transformer, read by the rules of that library (models
// saved from 2019 to 2026): which modules stand behind the transformer, the longest text, prompts.
//
//   modules.json, in the only order that is read:
//     Transformer   "" or "0_Transformer"
//     Pooling       "1_Pooling"
//     Dense         "2_Dense", ...           any number of them, none as a rule
//     Normalize     "3_Normalize"            if at all
//
// or, of a multi-vector model (multi_vector_layout.h), where every module works on the rows of
// tokens:
//     Transformer
//     Dense                                  any number of them
//     MultiVectorMask, Normalize             each at most once, in either order
//
// A module is recognised by the path of its class in sentence_transformers, as old and new versions
// of the library write it. A module, pooling mode or activation that is not known here is an error,
// since a vector without it would be another vector; so is one of the same name out of somebody's
// own package. A folder without modules.json is a plain transformer: mean pooling (lasttoken for a
// causal language model), not normalised, no prompts.
//
// Each file is compared with its table of keys (sentence_keys.h). Functions with `warnings` append
// one line for each key that no table knows.
//
// Free functions without state: thread safe. Errors are one line that names the file. Proven by
// model_folder_test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/dense_module.h"
#include "core/model_info.h"
#include "nlohmann/json.hpp"

namespace longspan {

using Warnings = std::vector<std::string>;

// The folders of the modules that modules.json names, absolute.
struct SentenceModules {
  std::string transformer;
  std::string pooling;  // empty in a multi-vector model
  std::vector<std::string> dense;
  std::optional<std::string> normalize;
  bool is_multi_vector = false;
  std::optional<std::string> mask;  // MultiVectorMask
  // Saved by PyLate, whose own code skips tokens and normalises behind the modules of the list.
  bool is_pylates = false;
  bool is_colbert = false;  // and its "model_type" is "ColBERT"

  // The rows of the tables of keys that hold for the folder (sentence_keys.h).
  std::string_view family() const;
};
// Reads modules.json of `folder`; nullopt where there is none.
absl::StatusOr<std::optional<SentenceModules>> ReadModules(const std::string& folder,
                                                           Warnings* warnings = nullptr);

struct PoolingConfig {
  std::vector<PoolingMode> modes;  // concatenated in this order
  bool include_prompt = true;
  std::optional<int64_t> dimensions;  // width of one token vector, where the file says it
};
// ReadPooling, ReadDense and CheckNormalize read config.json of a module's folder.
absl::StatusOr<PoolingConfig> ReadPooling(const std::string& module_path, Warnings* warnings);
absl::StatusOr<DenseModule> ReadDense(const std::string& module_path, std::string_view family,
                                      Warnings* warnings);
// A Normalize module has nothing to set; this checks that it reads what stands before it.
absl::Status CheckNormalize(const std::string& module_path, std::string_view family,
                            Warnings* warnings);

// True where config.json names an architecture whose last token alone has read the whole text.
bool IsCausalLanguageModel(const nlohmann::json& config);

struct LengthAndCase {
  // Tokens, as sentence_bert_config.json says (or sentence_roberta_config.json and the like), else
  // the tokenizer's model_max_length.
  std::optional<int64_t> max_seq_length;
  bool do_lower_case = false;
};
// `is_module`: modules.json names this folder. Only then does the library read
// sentence_bert_config.json, so without it do_lower_case is refused.
absl::StatusOr<LengthAndCase> ReadLengthAndCase(const std::string& transformer_path, bool is_module,
                                                std::string_view family,
                                                Warnings* warnings = nullptr);

struct SentencePrompts {
  std::map<std::string, std::string> prompts;  // name -> text that is put in front of an input
  std::string default_prompt_name;             // empty = none
  std::optional<int64_t> truncate_dim;         // how many values of the final vector are kept
};
absl::StatusOr<SentencePrompts> ReadPrompts(const std::string& folder, std::string_view family,
                                            Warnings* warnings);

}  // namespace longspan
