#include "core/checkpoint/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/bounded_file.h"
#include "core/checkpoint/config_keys.h"
#include "core/checkpoint/json_file.h"
#include "core/checkpoint/known_keys.h"
#include "core/checkpoint/sentence_keys.h"
#include "core/checkpoint/sentence_layout.h"
#include "core/checkpoint/tokenizer_keys.h"
#include "core/weights/one_line.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

absl::Status Bad(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(OneLine(absl::StrCat(where, ": ", what)));
}

// The path made absolute and without "." and a trailing "/", so that its last component is the
// model's name.
std::string CleanPath(const std::string& path) {
  const fs::path clean = fs::absolute(path).lexically_normal();
  return clean.has_filename() ? clean.string() : clean.parent_path().string();
}

absl::Status CheckFolder(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found)
    return absl::NotFoundError(absl::StrCat(path, ": no such folder"));
  if (status.type() == fs::file_type::directory) return absl::OkStatus();
  if (status.type() == fs::file_type::none) return Bad(path, "cannot be read: " + error.message());
  return Bad(path, "is not a folder; give the folder that holds config.json");
}

// Whether a file name from a JSON file of strangers stays in its folder and can be quoted in an
// error of one line.
bool IsPlainFileName(const std::string& name) {
  const auto is_bad = [](char c) { return c == '/' || static_cast<unsigned char>(c) < 0x20; };
  return !name.empty() && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), is_bad);
}

// Checks that the shard which the index names is there and holds the weights that the index places
// in it.
absl::Status CheckShard(const std::string& index_path, const std::string& shard,
                        const std::vector<std::string>& weights) {
  if (!IsPlainFileName(shard))
    return Bad(index_path, absl::StrCat("\"", shard, "\" is not a file name"));
  const std::string path = (fs::path(index_path).parent_path() / shard).string();
  const absl::StatusOr<bool> there = HasFile(path);
  if (!there.ok()) return there.status();
  if (!*there)
    return Bad(index_path, absl::StrCat("names the shard ", shard,
                                        ", which is not in the folder; copy all shards"));
  const absl::StatusOr<std::unique_ptr<SafetensorsReader>> reader = SafetensorsReader::Open(path);
  if (!reader.ok()) return reader.status();
  for (const std::string& weight : weights) {
    if (!(*reader)->tensors().contains(weight)) {
      return Bad(index_path,
                 absl::StrCat("places \"", weight, "\" in ", shard,
                              ", which does not hold it: index and shards do not belong together"));
    }
  }
  return absl::OkStatus();
}

// The paths of the shards that model.safetensors.index.json names.
absl::StatusOr<std::vector<std::string>> ReadIndex(const std::string& index_path) {
  const absl::StatusOr<json> index = ReadJsonFile(index_path);
  if (!index.ok()) return index.status();
  const json weight_map = index->is_object() ? index->value("weight_map", json()) : json();
  if (!weight_map.is_object() || weight_map.empty())
    return Bad(index_path, "has no \"weight_map\"");
  std::map<std::string, std::vector<std::string>> weights_of;
  for (const auto& [weight, shard] : weight_map.items()) {
    if (!shard.is_string())
      return Bad(index_path,
                 absl::StrCat("\"weight_map\" gives no file name for \"", weight, "\""));
    weights_of[shard.get<std::string>()].push_back(weight);
  }
  std::vector<std::string> files;
  for (const auto& [shard, weights] : weights_of) {
    if (const absl::Status status = CheckShard(index_path, shard, weights); !status.ok())
      return status;
    files.push_back((fs::path(index_path).parent_path() / shard).string());
  }
  return files;
}

absl::StatusOr<std::vector<std::string>> FindWeightFiles(const std::string& folder) {
  const std::string single = (fs::path(folder) / "model.safetensors").string();
  const absl::StatusOr<bool> has_single = HasFile(single);
  if (!has_single.ok()) return has_single.status();
  if (*has_single) return std::vector<std::string>{single};
  const std::string index = single + ".index.json";
  const absl::StatusOr<bool> has_index = HasFile(index);
  if (!has_index.ok()) return has_index.status();
  if (*has_index) return ReadIndex(index);
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (!HasFile((fs::path(folder) / pickle).string()).value_or(false)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(folder, ": has ", pickle,
                     " and no model.safetensors; only safetensors is read. Convert once: python3 "
                     "-c \"from transformers import "
                     "AutoModel; AutoModel.from_pretrained('",
                     folder, "').save_pretrained('", folder, "')\""));
  }
  return absl::NotFoundError(
      absl::StrCat(folder, ": has neither model.safetensors nor model.safetensors.index.json"));
}

}  // namespace

absl::Status ModelFolder::ReadTransformer() {
  const std::string config_path = (fs::path(transformer_path_) / "config.json").string();
  absl::StatusOr<json> config = ReadJsonFile(config_path);
  if (absl::IsNotFound(config.status())) {
    return absl::NotFoundError(absl::StrCat(transformer_path_,
                                            ": has no config.json; give the folder of a Hugging "
                                            "Face or sentence-transformers checkpoint"));
  }
  if (!config.ok()) return config.status();
  config_ = *std::move(config);
  const json model_type = config_.is_object() ? config_.value("model_type", json()) : json();
  if (!model_type.is_string()) return Bad(config_path, "has no \"model_type\"");
  model_type_ = model_type.get<std::string>();
  if (IsKnownModelType(model_type_)) {
    const absl::Status keys =
        CheckKeys(ConfigKeys(), model_type_, config_, config_path, &warnings_);
    if (!keys.ok()) return keys;
  }

  // The published libraries load the adapter's base model and change its weights.
  const std::string adapter = (fs::path(transformer_path_) / "adapter_config.json").string();
  if (HasFile(adapter).value_or(true)) {
    return absl::FailedPreconditionError(
        absl::StrCat(adapter,
                     ": adapters are not applied; merge them into the weights once (peft: "
                     "merge_and_unload) and save the model without this file"));
  }
  absl::StatusOr<std::vector<std::string>> files = FindWeightFiles(transformer_path_);
  if (!files.ok()) return files.status();
  weight_files_ = *std::move(files);
  return absl::OkStatus();
}

// Checks that each module takes as many values as the one before it gives. The width of the
// transformer's token vectors is known here from its config only; a Reformer's are twice as wide as
// its hidden_size.
absl::Status ModelFolder::CheckWidths(std::optional<int64_t> pooled_width) const {
  const json& size =
      config_.contains("hidden_size") ? config_["hidden_size"] : config_.value("d_model", json());
  if (size.is_number_unsigned() && size < (int64_t{1} << 31)) {
    const int64_t width = size.get<int64_t>() * (model_type_ == "reformer" ? 2 : 1);
    if (pooled_width.has_value() && *pooled_width != width) {
      return Bad(path_, absl::StrCat("Pooling expects token vectors of ", *pooled_width,
                                     " values, the transformer gives ", width));
    }
    pooled_width = width;
  }
  if (!pooled_width.has_value()) return absl::OkStatus();
  int64_t width = *pooled_width * std::max<int64_t>(1, static_cast<int64_t>(pooling_.size()));
  for (const DenseModule& dense : dense_) {
    if (dense.in_features != width) {
      return Bad(dense.weights_path, absl::StrCat("Dense takes ", dense.in_features,
                                                  " values, what stands before it gives ", width));
    }
    width = dense.out_features;
  }
  if (truncate_dim_.value_or(1) > width)
    return Bad(path_, absl::StrCat("truncate_dim is ", *truncate_dim_, ", the vectors have ", width,
                                   " values"));
  return absl::OkStatus();
}

absl::Status ModelFolder::ReadSentenceModules(const SentenceModules& modules) {
  std::optional<int64_t> pooled_width;
  pooling_.clear();
  if (!modules.is_multi_vector) {
    const absl::StatusOr<PoolingConfig> pooling = ReadPooling(modules.pooling, &warnings_);
    if (!pooling.ok()) return pooling.status();
    pooling_ = pooling->modes;
    pool_prompt_ = pooling->include_prompt;
    pooled_width = pooling->dimensions;
  }
  for (const std::string& path : modules.dense) {
    absl::StatusOr<DenseModule> dense = ReadDense(path, modules.family(), &warnings_);
    if (!dense.ok()) return dense.status();
    dense_.push_back(*std::move(dense));
  }
  normalize_ = modules.normalize.has_value();
  if (normalize_) {
    const absl::Status status = CheckNormalize(*modules.normalize, modules.family(), &warnings_);
    if (!status.ok()) return status;
  }
  absl::StatusOr<SentencePrompts> prompts = ReadPrompts(path_, modules.family(), &warnings_);
  if (!prompts.ok()) return prompts.status();
  prompts_ = std::move(prompts->prompts);
  default_prompt_name_ = std::move(prompts->default_prompt_name);
  truncate_dim_ = prompts->truncate_dim;
  return CheckWidths(pooled_width);
}

// The projection of Stanford's ColBERT, which lies among the weights of the model.
absl::Status ModelFolder::FindInlineProjection() {
  const std::string name = "linear.weight";
  for (const std::string& file : weight_files_) {
    const absl::StatusOr<std::unique_ptr<SafetensorsReader>> reader = SafetensorsReader::Open(file);
    if (!reader.ok()) return reader.status();
    const auto tensor = (*reader)->tensors().find(name);
    if (tensor == (*reader)->tensors().end()) continue;
    const std::vector<int64_t>& shape = tensor->second.shape;
    if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1)
      return Bad(file, absl::StrCat("\"", name, "\" is no matrix"));
    dense_ = {{.weights_path = file,
               .in_features = shape[1],
               .out_features = shape[0],
               .bias = false,
               .activation = "Identity",
               .is_among_others = true}};
    return CheckWidths(std::nullopt);
  }
  return Bad(
      transformer_path_,
      absl::StrCat("config.json names the architecture HF_ColBERT, but the weights hold no \"",
                   name, "\", its projection"));
}

absl::Status ModelFolder::ReadTokenModules(const std::optional<SentenceModules>& modules) {
  absl::StatusOr<std::optional<MultiVectorConfig>> read =
      ReadMultiVector(path_, modules, config_, &warnings_);
  if (!read.ok()) return read.status();
  if (!read->has_value()) return absl::OkStatus();
  multi_vector_ = **std::move(read);
  // In front of the prompt; files of PyLate may have it there already.
  for (const auto& [name, prefix] : multi_vector_->prefixes) {
    std::string& prompt = prompts_[name];
    if (!absl::StartsWith(prompt, prefix)) prompt.insert(0, prefix);
  }
  if (!multi_vector_->has_inline_projection) {
    normalize_ = normalize_ || modules->is_pylates;
    return absl::OkStatus();
  }
  pooling_.clear();
  normalize_ = true;
  return FindInlineProjection();
}

absl::StatusOr<ModelFolder> ModelFolder::Open(const std::string& path) {
  if (const absl::Status status = CheckFolder(path); !status.ok()) return status;
  ModelFolder folder;
  folder.path_ = CleanPath(path);
  const absl::StatusOr<std::optional<SentenceModules>> modules =
      ReadModules(folder.path_, &folder.warnings_);
  if (!modules.ok()) return modules.status();
  folder.transformer_path_ =
      modules->has_value() ? CleanPath((*modules)->transformer) : folder.path_;
  if (const absl::Status status = folder.ReadTransformer(); !status.ok()) return status;

  folder.pooling_ = {IsCausalLanguageModel(folder.config_) ? PoolingMode::kLastToken
                                                           : PoolingMode::kMean};
  if (modules->has_value()) {
    if (const absl::Status status = folder.ReadSentenceModules(**modules); !status.ok())
      return status;
  }
  if (const absl::Status status = folder.ReadTokenModules(*modules); !status.ok()) return status;
  const absl::StatusOr<LengthAndCase> length = ReadLengthAndCase(
      folder.transformer_path_, modules->has_value(),
      modules->has_value() ? (*modules)->family() : kSentenceFamily, &folder.warnings_);
  if (!length.ok()) return length.status();
  folder.max_seq_length_ = length->max_seq_length;
  if (absl::Status status = CheckTokenizerKeys(folder.transformer_path_, &folder.warnings_);
      !status.ok())
    return status;
  return folder;
}

}  // namespace longspan
