// ModelFolder: a checkpoint as users have it on disk. That is the Hugging Face layout (config.json,
// model.safetensors or shards with an index) and, where it is there, the sentence-transformers
// layout around it (modules.json, Pooling, Dense, Normalize, prompts).
//
// Opening reads and checks the small JSON files and the shards' headers; it loads no weights. A
// value type, constant after Open: const methods are thread safe. Proven by model_folder_test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/dense_module.h"
#include "core/checkpoint/multi_vector_layout.h"
#include "core/model_info.h"
#include "nlohmann/json.hpp"

namespace longspan {

class ModelFolder {
 public:
  // NOT_FOUND: no such folder, or no config.json or no weights in it. FAILED_PRECONDITION: weights
  // that must be converted first. INVALID_ARGUMENT: files that do not say what they should. Each
  // message is one line that says what, where and what to do.
  static absl::StatusOr<ModelFolder> Open(const std::string& path);

  const std::string& path() const { return path_; }  // absolute; its last component names the model
  // Where config.json, weights and tokenizer files lie: path(), or the folder in it that
  // modules.json names ("0_Transformer").
  const std::string& transformer_path() const { return transformer_path_; }
  const nlohmann::json& config() const { return config_; }       // config.json of the transformer
  const std::string& model_type() const { return model_type_; }  // "longformer", ...
  const std::vector<std::string>& weight_files() const { return weight_files_; }  // absolute paths

  // What the sentence-transformers layout says. A folder without it is pooled by mean (by lasttoken
  // where it is a causal language model), has no Dense module and does not normalise.
  const std::vector<PoolingMode>& pooling() const { return pooling_; }
  bool pool_prompt() const { return pool_prompt_; }
  const std::vector<DenseModule>& dense() const { return dense_; }
  bool normalize() const { return normalize_; }
  // Where it has a value, the folder is a multi-vector model: pooling() is empty, and dense() and
  // normalize() are of the rows of tokens.
  const std::optional<MultiVectorConfig>& multi_vector() const { return multi_vector_; }
  // max_seq_length of sentence_bert_config.json, else the tokenizer's model_max_length.
  std::optional<int64_t> max_seq_length() const { return max_seq_length_; }
  const std::map<std::string, std::string>& prompts() const { return prompts_; }
  const std::string& default_prompt_name() const { return default_prompt_name_; }
  // How many values of the final vector are kept, after Normalize; nullopt = all of them.
  std::optional<int64_t> truncate_dim() const { return truncate_dim_; }
  // What an operator should know of the files, one line each that names the file and the key: keys
  // that nothing here knows, and that are ignored.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  absl::Status ReadTransformer();
  absl::Status ReadSentenceModules(const SentenceModules& modules);
  absl::Status ReadTokenModules(const std::optional<SentenceModules>& modules);
  absl::Status FindInlineProjection();
  absl::Status CheckWidths(std::optional<int64_t> pooled_width) const;

  std::string path_;
  std::string transformer_path_;
  nlohmann::json config_;
  std::string model_type_;
  std::vector<std::string> weight_files_;
  std::vector<PoolingMode> pooling_;
  bool pool_prompt_ = true;
  std::vector<DenseModule> dense_;
  bool normalize_ = false;
  std::optional<int64_t> max_seq_length_;
  std::map<std::string, std::string> prompts_;
  std::string default_prompt_name_;
  std::optional<int64_t> truncate_dim_;
  std::optional<MultiVectorConfig> multi_vector_;
  std::vector<std::string> warnings_;
};

}  // namespace longspan
