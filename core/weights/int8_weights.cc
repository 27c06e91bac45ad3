#include "core/weights/int8_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// The float m with m / 127 == scale. 127 * scale was rounded once, so m is that product or one of
// the two floats beside it.
float LargestOf(float scale) {
  const float product = 127.0f * scale;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (float candidate :
       {product, std::nextafter(product, 0.0f), std::nextafter(product, kInfinity)}) {
    if (candidate / 127.0f == scale) return candidate;
  }
  return product;
}

}  // namespace

void RestoreInt8Channel(std::span<const int8_t> values, float scale, float* out) {
  const float largest = LargestOf(scale);
  for (int8_t value : values) {
    *out++ = value == 127 ? largest : value == -127 ? -largest : static_cast<float>(value) * scale;
  }
}

std::string CheckInt8Weight(const StoredTensor& values, const StoredTensor* scales) {
  const std::string name(kInt8ScaleSuffix);
  if (scales == nullptr)
    return absl::StrCat("is int8 and has no scales; they belong under its name with ", name,
                        " behind it");
  if (values.shape.size() != 2)
    return absl::StrCat("is int8 with ", values.shape.size(), " dimensions; linear weights have 2");
  if (scales->type != StoredType::kF32 || scales->shape != std::vector<int64_t>{values.shape[0]})
    return absl::StrCat("is int8 with ", values.shape[0], " channels; its ", name,
                        " must be F32 with one value for each");
  for (size_t i = 0; i < scales->data.size(); i += sizeof(float)) {
    float scale = 0;
    std::memcpy(&scale, scales->data.data() + i, sizeof(scale));
    if (!(scale > 0) || !std::isfinite(scale))
      return absl::StrCat("is int8 with a scale of ", scale, " in channel ", i / sizeof(float),
                          "; scales are positive and finite");
  }
  const bool has_lowest =
      std::find(values.data.begin(), values.data.end(), std::byte{0x80}) != values.data.end();
  return has_lowest ? "is int8 and holds -128; allowed: -127 to 127" : "";
}

absl::StatusOr<std::string> FindInt8Weights(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    const auto reader = SafetensorsReader::Open(file);
    if (!reader.ok()) return reader.status();
    const auto& tensors = (*reader)->tensors();
    const bool found = std::any_of(tensors.begin(), tensors.end(), [&](const auto& tensor) {
      return tensor.second.type == StoredType::kI8 &&
             tensors.contains(tensor.first + std::string(kInt8ScaleSuffix));
    });
    if (found) return file;
  }
  return std::string();
}

}  // namespace longspan
