// ModelFolder: a checkpoint as users have it on disk: Hugging Face layout (config.json,
// model.safetensors or shards with an index) with, where present, the sentence-transformers layout
// around it (modules.json, Pooling, Dense, Normalize, prompts). Opening reads and checks the small
// JSON files only; no weights. Errors are one line: what, where, what to do.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model_info.h"
#include "nlohmann/json.hpp"

namespace longspan {

// A Dense module of sentence-transformers: y = activation(x W^T + b), with use_residual + x, or + x
// R^T where the file holds "residual.weight" (the sizes differ). Weights "linear.weight" [out, in],
// "linear.bias" [out].
struct DenseModule {
  std::string weights_path;  // model.safetensors of the module
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
  std::string activation;  // "Identity", "Tanh", "ReLU", "GELU" (erf) or "SiLU"
  bool use_residual = false;
};

struct SentenceModules;

class ModelFolder {
 public:
  static absl::StatusOr<ModelFolder> Open(const std::string& path);

  const std::string& path() const { return path_; }  // as opened
  // Where config.json, weights and tokenizer files lie: path(), or a folder in it that modules.json
  // names ("0_Transformer").
  const std::string& transformer_path() const { return transformer_path_; }
  const nlohmann::json& config() const { return config_; }       // config.json of the transformer
  const std::string& model_type() const { return model_type_; }  // "longformer", ...
  const std::vector<std::string>& weight_files() const { return weight_files_; }  // absolute paths

  // From the sentence-transformers layout; without one: mean pooling (lasttoken for causal LMs), no
  // Dense, not normalised.
  const std::vector<PoolingMode>& pooling() const { return pooling_; }
  bool pool_prompt() const { return pool_prompt_; }
  const std::vector<DenseModule>& dense() const { return dense_; }
  bool normalize() const { return normalize_; }
  std::optional<int64_t> max_seq_length() const {
    return max_seq_length_;
  }  // sentence_bert_config, else model_max_length
  bool do_lower_case() const { return do_lower_case_; }
  const std::map<std::string, std::string>& prompts() const { return prompts_; }
  const std::string& default_prompt_name() const { return default_prompt_name_; }
  // Width the final vector is cut to, after Normalize; nullopt = all of it.
  std::optional<int64_t> truncate_dim() const { return truncate_dim_; }

 private:
  absl::Status ReadTransformer();
  absl::Status ReadSentenceModules(const SentenceModules& modules);
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
  bool do_lower_case_ = false;
  std::map<std::string, std::string> prompts_;
  std::string default_prompt_name_;
  std::optional<int64_t> truncate_dim_;
};

}  // namespace longspan
