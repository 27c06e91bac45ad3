#include "core/weights/weight_map.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "core/weights/float_conversion.h"
#include "core/weights/int8_weights.h"
#include "core/weights/one_line.h"

namespace longspan {
namespace {

// Whether `name` matches `pattern`, in which '*' stands for any run of characters. Each '*' first
// takes as little as possible, and only the last one is ever extended: at most name x pattern
// steps.
bool MatchesPattern(std::string_view name, std::string_view pattern) {
  size_t n = 0, p = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return std::all_of(pattern.begin() + static_cast<std::ptrdiff_t>(p), pattern.end(),
                     [](char c) { return c == '*'; });
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[",
                      absl::StrJoin(shape, ", ",
                                    [](std::string* out, int64_t size) {
                                      size < 0 ? absl::StrAppend(out, "*")
                                               : absl::StrAppend(out, size);
                                    }),
                      "]");
}

bool ShapeFits(const std::vector<int64_t>& shape, const std::vector<int64_t>& wanted) {
  return std::equal(shape.begin(), shape.end(), wanted.begin(), wanted.end(),
                    [](int64_t got, int64_t want) { return want < 0 || got == want; });
}

// Where the first NaN or infinity stands in a contiguous float32 tensor. Blocks are looked at for
// the largest exponent only, which the compiler makes vector code of.
std::optional<int64_t> FirstNonFinite(const at::Tensor& weight) {
  constexpr int64_t kBlock = 4096;
  constexpr uint32_t kExponent = 0x7F800000;
  const auto* values = weight.const_data_ptr<float>();
  const auto bits = [values](int64_t i) { return std::bit_cast<uint32_t>(values[i]) & kExponent; };
  for (int64_t begin = 0; begin < weight.numel(); begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, weight.numel());
    uint32_t largest = 0;
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, bits(i));
    for (int64_t i = begin; largest == kExponent && i < end; ++i) {
      if (bits(i) == kExponent) return i;
    }
  }
  return std::nullopt;
}

std::string NonFiniteText(const at::Tensor& weight, int64_t at) {
  const float value = weight.const_data_ptr<float>()[at];
  std::vector<int64_t> index(weight.dim());
  for (int64_t axis = weight.dim() - 1, rest = at; axis >= 0; rest /= weight.size(axis--))
    index[axis] = rest % weight.size(axis);
  return absl::StrCat("holds ",
                      std::isnan(value) ? "NaN"
                      : value > 0       ? "Inf"
                                        : "-Inf",
                      " at ", ShapeText(index), "; allowed: finite values of float32");
}

// Checkpoints of 2018 to 2020 spell LayerNorm's parameters as TensorFlow did.
std::string ModernName(absl::string_view name) {
  if (absl::ConsumeSuffix(&name, "LayerNorm.gamma")) return absl::StrCat(name, "LayerNorm.weight");
  if (absl::ConsumeSuffix(&name, "LayerNorm.beta")) return absl::StrCat(name, "LayerNorm.bias");
  return std::string(name);
}

}  // namespace

absl::StatusOr<WeightMap> WeightMap::Open(const std::vector<std::string>& files,
                                          const Rules& rules) {
  WeightMap weights;
  weights.ignored_ = rules.ignored;
  weights.layers_ = rules.layers;
  for (const std::string& file : files) {
    absl::StatusOr<std::unique_ptr<SafetensorsReader>> reader = SafetensorsReader::Open(file);
    if (!reader.ok()) return reader.status();
    weights.readers_.push_back(*std::move(reader));
  }
  if (files.empty()) return absl::InvalidArgumentError("no weight file");
  weights.source_ =
      files.size() == 1 ? files[0] : absl::StrCat(files[0], " and ", files.size() - 1, " more");

  const std::string prefix = weights.FindPrefix(rules.prefixes);
  for (const auto& reader : weights.readers_) {
    for (const auto& [stored_name, tensor] : reader->tensors()) {
      const std::string name = ModernName(absl::StripPrefix(stored_name, prefix));
      if (!weights.entries_.emplace(name, Entry{&tensor, reader.get()}).second) {
        return absl::InvalidArgumentError(
            OneLine(absl::StrCat(weights.source_, ": two weights are called \"", name,
                                 "\" (one stored as \"", stored_name, "\")")));
      }
    }
  }
  return weights;
}

std::string WeightMap::FindPrefix(const std::vector<std::string>& prefixes) const {
  for (const std::string& prefix : prefixes) {
    for (const auto& reader : readers_) {
      const auto first = reader->tensors().lower_bound(prefix);
      if (first != reader->tensors().end() && absl::StartsWith(first->first, prefix)) return prefix;
    }
  }
  return "";
}

std::optional<int64_t> WeightMap::LayerOf(std::string_view name) const {
  absl::string_view rest(name.data(), name.size());
  if (layers_.empty() || !absl::ConsumePrefix(&rest, layers_)) return std::nullopt;
  int32_t number = 0;
  if (!absl::SimpleAtoi(rest.substr(0, rest.find('.')), &number)) return std::nullopt;
  return number;
}

int64_t WeightMap::num_layers() const {
  int64_t highest = -1;
  for (const auto& [name, entry] : entries_)
    highest = std::max(highest, LayerOf(name).value_or(-1));
  return highest + 1;
}

bool WeightMap::Contains(std::string_view name) const {
  return entries_.find(name) != entries_.end();
}

at::Tensor WeightMap::TakeOptional(std::string_view name, const std::vector<int64_t>& shape) {
  return Contains(name) ? Take(name, shape) : at::Tensor();
}

at::Tensor WeightMap::Take(std::string_view name, const std::vector<int64_t>& shape) {
  const auto place = entries_.find(name);
  if (place == entries_.end())
    return Refuse(name,
                  absl::StrCat("is missing; the model needs it with shape ", ShapeText(shape)));
  Entry& entry = place->second;
  const StoredTensor& stored = *entry.tensor;
  if (!ShapeFits(stored.shape, shape)) {
    return Refuse(name, absl::StrCat("has shape ", ShapeText(stored.shape),
                                     ", the config asks for ", ShapeText(shape)));
  }
  if (!IsFloatingPoint(stored.type)) {
    return Refuse(
        name,
        absl::StrCat(
            "has dtype ", absl::string_view(StoredTypeName(stored.type).data()),
            "; weights are F64, F32, F16 or BF16, those of linear layers also I8 with scales"));
  }
  at::Tensor weight = at::empty(stored.shape, at::kFloat);
  ConvertToFloat32(stored.type, stored.data, weight.data_ptr<float>());
  entry.reader->DropPages(stored);
  if (!entry.taken) num_parameters_ += stored.num_elements();
  entry.taken = true;
  if (const std::optional<int64_t> bad = FirstNonFinite(weight); bad.has_value())
    return Refuse(name, NonFiniteText(weight, *bad));
  return weight;
}

at::Tensor WeightMap::TakeMatrix(std::string_view name, const std::vector<int64_t>& shape) {
  const auto place = entries_.find(name);
  const bool int8 = place != entries_.end() && place->second.tensor->type == StoredType::kI8;
  return int8 && ShapeFits(place->second.tensor->shape, shape) ? TakeInt8(name, place->second)
                                                               : Take(name, shape);
}

at::Tensor WeightMap::TakeInt8(std::string_view name, Entry& entry) {
  const auto scales = entries_.find(std::string(name) + std::string(kInt8ScaleSuffix));
  const StoredTensor& stored = *entry.tensor;
  if (const std::string wrong =
          CheckInt8Weight(stored, scales == entries_.end() ? nullptr : scales->second.tensor);
      !wrong.empty())
    return Refuse(name, wrong);
  at::Tensor weight = at::empty(stored.shape, at::kFloat);
  const int64_t channels = stored.shape[0], width = stored.shape[1];
  for (int64_t channel = 0; channel < channels; ++channel) {
    float scale = 0;
    std::memcpy(&scale, scales->second.tensor->data.data() + channel * sizeof(scale),
                sizeof(scale));
    const auto* values = reinterpret_cast<const int8_t*>(stored.data.data()) + channel * width;
    RestoreInt8Channel({values, static_cast<size_t>(width)}, scale,
                       weight.data_ptr<float>() + channel * width);
  }
  entry.reader->DropPages(stored);
  if (!entry.taken) num_parameters_ += stored.num_elements();
  entry.taken = scales->second.taken = true;
  return weight;
}

at::Tensor WeightMap::Refuse(std::string_view name, const std::string& why) {
  if (!first_error_.ok()) return {};
  const absl::string_view shown(name.data(), name.size());
  first_error_ =
      absl::InvalidArgumentError(OneLine(absl::StrCat(source_, ": weight \"", shown, "\" ", why)));
  return {};
}

absl::Status WeightMap::Finish() const {
  for (const auto& reader : readers_) {
    if (absl::Status status = reader->CheckUnchanged(); !status.ok()) return status;
  }
  if (!first_error_.ok()) return first_error_;
  std::vector<std::string> left;
  for (const auto& [name, entry] : entries_) {
    const auto matches = [&name = name](const std::string& pattern) {
      return MatchesPattern(name, pattern);
    };
    const bool behind = LayerOf(name).value_or(-1) >= first_ignored_layer_;
    if (!entry.taken && !behind && std::none_of(ignored_.begin(), ignored_.end(), matches))
      left.push_back(name);
  }
  if (left.empty()) return absl::OkStatus();
  const size_t total = left.size();
  left.resize(std::min<size_t>(total, 5));
  return absl::InvalidArgumentError(OneLine(
      absl::StrCat(source_, ": ", total, " weights that this architecture does not have: \"",
                   absl::StrJoin(left, "\", \""), "\"", total > left.size() ? ", ..." : "",
                   "; is model_type in config.json right?")));
}

}  // namespace longspan
