#include "core/tools/quantize.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/model_folder.h"
#include "core/layers/quantized_linear.h"
#include "core/tools/model_copy.h"
#include "core/weights/float_conversion.h"
#include "core/weights/int8_weights.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {
namespace {

// The weights that models take by WeightMap::TakeMatrix, after whatever prefix a task put in front.
// A weight that is listed here but taken otherwise would be refused by every load of the result;
// quantize_test loads one model of each family.
constexpr std::array kLinearWeights = {
    // BERT, RoBERTa, Longformer, BigBird
    "*encoder.layer.*.attention.self.query.weight",
    "*encoder.layer.*.attention.self.key.weight",
    "*encoder.layer.*.attention.self.value.weight",
    "*encoder.layer.*.dense.weight",
    // LED
    "*encoder.layers.*.self_attn.longformer_self_attn.query.weight",
    "*encoder.layers.*.self_attn.longformer_self_attn.key.weight",
    "*encoder.layers.*.self_attn.longformer_self_attn.value.weight",
    "*encoder.layers.*.self_attn.output.weight",
    "*encoder.layers.*.fc1.weight",
    "*encoder.layers.*.fc2.weight",
    // ModernBERT
    "*layers.*.attn.Wqkv.weight",
    "*layers.*.attn.Wo.weight",
    "*layers.*.mlp.Wi.weight",
    "*layers.*.mlp.Wo.weight",
    // Reformer's feed-forward part; IsOfLocalLayer is about its attention
    "*encoder.layers.*.feed_forward.*dense.weight",
};

using Tensors = std::map<std::string, StoredTensor>;

// True for a weight in the attention of one of Reformer's local layers. These have a query
// projection, while LSH layers, whose weights stay as they are, have a shared query_key.
bool IsOfLocalLayer(const std::string& name, const Tensors& tensors) {
  const size_t attention = name.find(".attention.");
  if (attention == std::string::npos ||
      !tensors.contains(name.substr(0, attention) + ".attention.self_attention.query.weight"))
    return false;
  return fnmatch("*encoder.layers.*.attention.self_attention.*.weight", name.c_str(), 0) == 0 ||
         fnmatch("*encoder.layers.*.attention.output.dense.weight", name.c_str(), 0) == 0;
}

bool IsLinearWeight(const std::string& name, const StoredTensor& tensor, const Tensors& tensors) {
  if (tensor.shape.size() != 2 || !IsFloatingPoint(tensor.type) || tensor.num_elements() == 0)
    return false;
  const bool is_listed =
      std::any_of(kLinearWeights.begin(), kLinearWeights.end(),
                  [&](const char* pattern) { return fnmatch(pattern, name.c_str(), 0) == 0; });
  return is_listed || IsOfLocalLayer(name, tensors);
}

// The float32 weight that a reader makes of an int8 one.
at::Tensor Restore(const QuantizedWeight& weight) {
  at::Tensor restored = at::empty(weight.values.sizes(), at::kFloat);
  const int64_t width = weight.values.size(1);
  for (int64_t channel = 0; channel < weight.values.size(0); ++channel) {
    RestoreInt8Channel(
        {weight.values.const_data_ptr<int8_t>() + channel * width, static_cast<size_t>(width)},
        weight.scales.const_data_ptr<float>()[channel],
        restored.mutable_data_ptr<float>() + channel * width);
  }
  return restored;
}

// nullopt where the int8 weight, read back, would not quantise to itself: with NaN, and with
// numbers near the smallest of float32. Such a weight stays as it is.
std::optional<QuantizedWeight> Quantize(const StoredTensor& stored) {
  at::Tensor weight = at::empty(stored.shape, at::kFloat);
  ConvertToFloat32(stored.type, stored.data, weight.mutable_data_ptr<float>());
  QuantizedWeight quantized = QuantizeWeight(weight);
  const QuantizedWeight again = QuantizeWeight(Restore(quantized));
  if (!at::equal(again.values, quantized.values) || !at::equal(again.scales, quantized.scales))
    return std::nullopt;
  return quantized;
}

template <typename Value>
std::span<const std::byte> BytesOf(const at::Tensor& tensor) {
  return std::as_bytes(
      std::span(tensor.const_data_ptr<Value>(), static_cast<size_t>(tensor.numel())));
}

int64_t FileBytes(const std::vector<std::string>& files) {
  int64_t bytes = 0;
  std::error_code ignored;
  for (const std::string& file : files)
    bytes += static_cast<int64_t>(std::filesystem::file_size(file, ignored));
  return bytes;
}

}  // namespace

absl::StatusOr<QuantizedModel> QuantizeModel(const std::string& source_dir,
                                             const std::string& output_dir) {
  const auto folder = ModelFolder::Open(source_dir);
  if (!folder.ok()) return folder.status();
  if (absl::Status status = CheckIsNewFolder(output_dir); !status.ok()) return status;
  const auto int8 = FindInt8Weights(folder->weight_files());
  if (!int8.ok()) return int8.status();
  if (!int8->empty())
    return absl::InvalidArgumentError(
        absl::StrCat(*int8, ": holds int8 weights already; quantize takes float ones"));

  std::vector<std::unique_ptr<SafetensorsReader>> readers;
  Tensors tensors;
  for (const std::string& file : folder->weight_files()) {
    auto reader = SafetensorsReader::Open(file);
    if (!reader.ok()) return reader.status();
    tensors.insert((*reader)->tensors().begin(), (*reader)->tensors().end());
    readers.push_back(*std::move(reader));
  }
  QuantizedModel model;
  Tensors made;
  std::list<QuantizedWeight> kept;
  for (const auto& [name, tensor] : tensors) {
    const auto quantized = IsLinearWeight(name, tensor, tensors) ? Quantize(tensor) : std::nullopt;
    if (!quantized.has_value()) {
      made.emplace(name, tensor);
      continue;
    }
    kept.push_back(*quantized);
    made[name] = {.type = StoredType::kI8,
                  .shape = tensor.shape,
                  .data = BytesOf<int8_t>(kept.back().values)};
    made[name + std::string(kInt8ScaleSuffix)] = {.type = StoredType::kF32,
                                                  .shape = {tensor.shape[0]},
                                                  .data = BytesOf<float>(kept.back().scales)};
    ++model.num_quantized;
  }
  if (kept.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source_dir, ": has no linear weights that quantize knows; model_type is \"",
                     folder->model_type(), "\""));
  }
  const auto output = CopyAroundWeights(*folder, output_dir);
  if (!output.ok()) return output.status();
  const std::string weights = (*output / "model.safetensors").string();
  if (absl::Status status = WriteWeights(weights, made, readers); !status.ok()) return status;
  if (absl::Status status = WriteJsonFile(*output / "config.json", folder->config()); !status.ok())
    return status;
  model.bytes_before = FileBytes(folder->weight_files());
  model.bytes_after = FileBytes({weights});
  return model;
}

}  // namespace longspan
