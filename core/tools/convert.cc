#include "core/tools/convert.h"

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/checkpoint/json_file.h"
#include "core/checkpoint/model_folder.h"
#include "core/tools/model_copy.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kPositionTable = "embeddings.position_embeddings.weight";

// A checkpoint's tensors by name without the prefix of the task. The readers keep the mapped files
// open that the tensors point into.
struct Source {
  std::vector<std::unique_ptr<SafetensorsReader>> readers;
  std::map<std::string, StoredTensor> tensors;
};

// False for heads and buffers, which an encoder does not read.
bool IsEncoderWeight(std::string_view name) {
  const absl::string_view bare(name.data(), name.size());
  return (absl::StartsWith(bare, "embeddings.") &&
          !absl::StartsWith(bare, "embeddings.position_ids") &&
          !absl::StartsWith(bare, "embeddings.token_type_ids")) ||
         absl::StartsWith(bare, "encoder.") || absl::StartsWith(bare, "pooler.");
}

absl::StatusOr<Source> ReadSource(const ModelFolder& folder) {
  Source source;
  // Of Stanford's ColBERT.
  const bool has_projection =
      folder.multi_vector().has_value() && folder.multi_vector()->has_inline_projection;
  for (const std::string& path : folder.weight_files()) {
    auto reader = SafetensorsReader::Open(path);
    if (!reader.ok()) return reader.status();
    for (const auto& [name, tensor] : (*reader)->tensors()) {
      std::string bare = name;
      for (std::string_view prefix : {"bert.", "roberta."}) {
        if (bare.starts_with(prefix)) bare.erase(0, prefix.size());
      }
      if (IsEncoderWeight(bare) || (has_projection && bare == "linear.weight"))
        source.tensors.emplace(bare, tensor);
    }
    source.readers.push_back(std::move(*reader));
  }
  if (!source.tensors.contains(std::string(kPositionTable))) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder.path(), ": no weight ", std::string(kPositionTable),
                     "; convert takes BERT and RoBERTa checkpoints with learned positions"));
  }
  return source;
}

// The table with its rows moved by `shift`: row r of the source becomes row r + shift. The rows in
// front repeat row 0; no token takes them. `storage` holds the result.
StoredTensor ShiftRows(const StoredTensor& table, int64_t shift, std::vector<std::byte>& storage) {
  const size_t row_bytes = table.data.size() / table.shape[0];
  storage.clear();
  for (int64_t row = 0; row < shift; ++row)
    storage.insert(storage.end(), table.data.begin(), table.data.begin() + row_bytes);
  storage.insert(storage.end(), table.data.begin(), table.data.end());
  StoredTensor shifted = table;
  shifted.shape[0] += shift;
  shifted.data = storage;
  return shifted;
}

// Adds a copy of each query, key and value projection as the global one.
void CopyGlobalProjections(std::map<std::string, StoredTensor>& tensors) {
  std::map<std::string, StoredTensor> copies;
  for (const auto& [name, tensor] : tensors) {
    for (std::string_view projection : {"query", "key", "value"}) {
      const std::string middle = absl::StrCat(".attention.self.", std::string(projection), ".");
      const size_t at = name.find(middle);
      if (at == std::string::npos) continue;
      std::string global = name;
      copies.emplace(
          global.replace(at, middle.size(),
                         absl::StrCat(".attention.self.", std::string(projection), "_global.")),
          tensor);
    }
  }
  tensors.merge(copies);
}

// Drops the limits that belong to the source's position table.
absl::Status DropLimits(const fs::path& to) {
  struct Limit {
    std::string_view file, key;
  };
  for (const Limit limit : {Limit{"sentence_bert_config.json", "max_seq_length"},
                            Limit{"tokenizer_config.json", "model_max_length"}}) {
    const fs::path path = to / limit.file;
    absl::StatusOr<json> value = ReadJsonFile(path.string());
    if (absl::IsNotFound(value.status())) continue;
    if (!value.ok()) return value.status();
    if (!value->is_object())
      return absl::InvalidArgumentError(absl::StrCat(path.string(), " is not a JSON object"));
    value->erase(std::string(limit.key));
    if (absl::Status status = WriteJsonFile(path, *value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

json LongformerConfig(const json& source, int64_t layers, int64_t pad, int64_t rows,
                      int64_t positions, const ConvertOptions& options) {
  json config = source;
  config["model_type"] = "longformer";
  // The architecture is what makes a folder of Stanford's a multi-vector model.
  config["architectures"] = {IsStanfordColbert(source) ? "HF_ColBERT" : "LongformerModel"};
  config["attention_window"] = std::vector<int64_t>(layers, options.window);
  config["pad_token_id"] = pad;
  config["max_position_embeddings"] = rows;
  // The id of [SEP] in BERT's published vocabularies, and of </s> in RoBERTa's.
  if (!config.contains("sep_token_id"))
    config["sep_token_id"] = source.value("model_type", "") == "bert" ? 102 : 2;
  // BERT numbers every token, a pad id inside the text included. RoBERTa and its relatives skip a
  // pad id, as a Longformer does.
  config["longspan"] = {{"dense_up_to", positions},
                        {"position_period", positions - 1},
                        {"positions_skip_pad", source.value("model_type", "") != "bert"},
                        {"default_global_attention", options.default_global_attention}};
  config.erase("position_embedding_type");
  return config;
}

absl::Status CheckArguments(const ModelFolder& folder, const fs::path& output,
                            const ConvertOptions& options) {
  constexpr std::array<std::string_view, 3> kSources = {"bert", "roberta", "xlm-roberta"};
  if (std::find(kSources.begin(), kSources.end(), folder.model_type()) == kSources.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder.path(), ": model_type is \"", folder.model_type(),
                     "\"; convert takes bert, roberta and xlm-roberta"));
  }
  if (options.window < 2 || options.window % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("window is ", options.window, "; allowed: an even number of tokens >= 2"));
  }
  if (options.default_global_attention != "cls" && options.default_global_attention != "none") {
    return absl::InvalidArgumentError(absl::StrCat("default global attention is \"",
                                                   options.default_global_attention,
                                                   "\"; allowed: cls, none"));
  }
  return CheckIsNewFolder(output.string());
}

}  // namespace

absl::Status ConvertToWindowed(const std::string& source_dir, const std::string& output_dir,
                               const ConvertOptions& options) {
  const auto folder = ModelFolder::Open(source_dir);
  if (!folder.ok()) return folder.status();
  if (absl::Status status = CheckArguments(*folder, output_dir, options); !status.ok())
    return status;
  auto source = ReadSource(*folder);
  if (!source.ok()) return source.status();

  // BERT counts positions from row 0, RoBERTa from pad + 1, a Longformer always from pad + 1.
  const bool from_zero = folder->model_type() == "bert";
  const int64_t pad = folder->config().value("pad_token_id", from_zero ? 0 : 1);
  const int64_t layers = folder->config().value("num_hidden_layers", 0);
  StoredTensor& table = source->tensors.at(std::string(kPositionTable));
  const int64_t positions = from_zero ? table.shape[0] : table.shape[0] - pad - 1;
  if (positions < 2 || layers < 1) {
    return absl::InvalidArgumentError(absl::StrCat(source_dir, ": ", positions,
                                                   " usable positions and ", layers,
                                                   " layers; at least 2 and 1"));
  }
  std::vector<std::byte> shifted;
  if (from_zero) table = ShiftRows(table, pad + 1, shifted);
  CopyGlobalProjections(source->tensors);

  const auto output = CopyAroundWeights(*folder, output_dir);
  if (!output.ok()) return output.status();
  if (absl::Status status = DropLimits(*output); !status.ok()) return status;
  const std::string weights = (*output / "model.safetensors").string();
  if (absl::Status status = WriteWeights(weights, source->tensors, source->readers); !status.ok())
    return status;
  return WriteJsonFile(
      *output / "config.json",
      LongformerConfig(folder->config(), layers, pad, table.shape[0], positions, options));
}

}  // namespace longspan
