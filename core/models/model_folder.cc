#include "core/models/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/models/json_file.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool IsFile(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

absl::Status Bad(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::Status CheckFolder(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return absl::NotFoundError(absl::StrCat(path, ": no such folder"));
  if (status.type() == fs::file_type::directory) return absl::OkStatus();
  return Bad(path, "is not a folder; give the folder that holds config.json");
}

// A file name from a JSON file of strangers: it must stay in its folder.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// Every weight of the index must lie in the shard that the index names.
absl::Status CheckShard(const std::string& index_path, const std::string& shard, const std::vector<std::string>& weights) {
  if (!IsPlainFileName(shard)) return Bad(index_path, absl::StrCat("\"", shard, "\" is not a file name"));
  const std::string path = (fs::path(index_path).parent_path() / shard).string();
  if (!IsFile(path))
    return Bad(index_path, absl::StrCat("names the shard ", shard, ", which is not in the folder; copy all shards"));
  const absl::StatusOr<std::unique_ptr<SafetensorsReader>> reader = SafetensorsReader::Open(path);
  if (!reader.ok()) return reader.status();
  for (const std::string& weight : weights) {
    if (!(*reader)->tensors().contains(weight)) {
      return Bad(index_path, absl::StrCat("places \"", weight, "\" in ", shard,
                                          ", which does not hold it: index and shards do not belong together"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ReadIndex(const std::string& index_path) {
  const absl::StatusOr<json> index = ReadJsonFile(index_path);
  if (!index.ok()) return index.status();
  const json weight_map = index->is_object() ? index->value("weight_map", json()) : json();
  if (!weight_map.is_object() || weight_map.empty()) return Bad(index_path, "has no \"weight_map\"");
  std::map<std::string, std::vector<std::string>> weights_of;
  for (const auto& [weight, shard] : weight_map.items()) {
    if (!shard.is_string()) return Bad(index_path, absl::StrCat("\"weight_map\" gives no file name for \"", weight, "\""));
    weights_of[shard.get<std::string>()].push_back(weight);
  }
  std::vector<std::string> files;
  for (const auto& [shard, weights] : weights_of) {
    if (const absl::Status status = CheckShard(index_path, shard, weights); !status.ok()) return status;
    files.push_back((fs::path(index_path).parent_path() / shard).string());
  }
  return files;
}

absl::StatusOr<std::vector<std::string>> FindWeightFiles(const std::string& folder) {
  const std::string single = (fs::path(folder) / "model.safetensors").string();
  if (IsFile(single)) return std::vector<std::string>{single};
  const std::string index = single + ".index.json";
  if (IsFile(index)) return ReadIndex(index);
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (!IsFile((fs::path(folder) / pickle).string())) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(folder, ": has ", pickle,
                     " and no model.safetensors; only safetensors is read. Convert once: python3 -c \"from transformers import "
                     "AutoModel; AutoModel.from_pretrained('",
                     folder, "').save_pretrained('", folder, "')\""));
  }
  return absl::NotFoundError(absl::StrCat(folder, ": has neither model.safetensors nor model.safetensors.index.json"));
}

}  // namespace

absl::Status ModelFolder::ReadTransformer() {
  const std::string config_path = (fs::path(transformer_path_) / "config.json").string();
  absl::StatusOr<json> config = ReadJsonFile(config_path);
  if (absl::IsNotFound(config.status())) {
    return absl::NotFoundError(absl::StrCat(
        transformer_path_, ": has no config.json; give the folder of a Hugging Face or sentence-transformers checkpoint"));
  }
  if (!config.ok()) return config.status();
  config_ = *std::move(config);
  const json model_type = config_.is_object() ? config_.value("model_type", json()) : json();
  if (!model_type.is_string()) return Bad(config_path, "has no \"model_type\"");
  model_type_ = model_type.get<std::string>();

  absl::StatusOr<std::vector<std::string>> files = FindWeightFiles(transformer_path_);
  if (!files.ok()) return files.status();
  weight_files_ = *std::move(files);
  return absl::OkStatus();
}

absl::StatusOr<ModelFolder> ModelFolder::Open(const std::string& path) {
  if (const absl::Status status = CheckFolder(path); !status.ok()) return status;
  ModelFolder folder;
  folder.path_ = fs::absolute(path).lexically_normal().string();
  folder.transformer_path_ = folder.path_;
  if (const absl::Status status = folder.ReadTransformer(); !status.ok()) return status;
  folder.pooling_ = {PoolingMode::kMean};
  return folder;
}

}  // namespace longspan
