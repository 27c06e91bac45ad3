// FormulaCheckpoint: a checkpoint whose weights come from a formula over their names, so that
// golden vectors need no files of weights. Value k of a tensor is
//   h = FNV-1a(name)
//   x = mix((k + 1) * 0x9E3779B1 + h)      in 32 bits
//   u = 2x / 2^32 - 1
//   value = scale * u, and 1 + 0.25 u for the weights of norms
// It is written into a temporary folder, loaded from there like any checkpoint, and removed with
// the object.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/weights/safetensors_reader.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/temporary_folder.h"

namespace longspan {

inline uint32_t NameHash(std::string_view name) {
  uint32_t hash = 0x811c9dc5u;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x01000193u;
  return hash;
}

inline double FormulaUniform(uint32_t name_hash, uint32_t k) {
  uint32_t x = (k + 1) * 0x9E3779B1u + name_hash;
  x ^= x >> 15;
  x *= 0x2C1B3C6Du;
  x ^= x >> 12;
  x *= 0x297A2D39u;
  x ^= x >> 15;
  return 2.0 * x / 4294967296.0 - 1.0;
}

// Token ids of the golden cases: lo + ((7i + 11b + 3i^2) mod (V - lo)).
inline std::vector<int32_t> FormulaIds(int64_t row, int64_t length, int64_t lo,
                                       int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < length; ++i)
    ids.push_back(static_cast<int32_t>(lo + (7 * i + 11 * row + 3 * i * i) % (vocab_size - lo)));
  return ids;
}

class FormulaCheckpoint {
 public:
  // Tensors whose names end with one of `norm_suffixes` are weights of norms.
  FormulaCheckpoint(double scale, std::vector<std::string> norm_suffixes)
      : scale_(scale), norm_suffixes_(std::move(norm_suffixes)) {}

  void Add(const std::string& name, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    std::vector<float>& values = values_[name];
    const uint32_t hash = NameHash(name);
    for (int64_t k = 0; k < count; ++k) {
      const double u = FormulaUniform(hash, static_cast<uint32_t>(k));
      values.push_back(static_cast<float>(IsNorm(name) ? 1.0 + 0.25 * u : scale_ * u));
    }
    shapes_[name] = shape;
  }
  // Adds NAME.weight [out, in] and NAME.bias [out].
  void AddLinear(const std::string& name, int64_t out, int64_t in) {
    Add(name + ".weight", {out, in});
    Add(name + ".bias", {out});
  }
  void AddNorm(const std::string& name, int64_t size) {
    Add(name + ".weight", {size});
    Add(name + ".bias", {size});
  }
  const std::vector<float>& values(const std::string& name) const { return values_.at(name); }
  std::vector<float>& values(const std::string& name) { return values_.at(name); }
  void Remove(const std::string& name) {
    values_.erase(name);
    shapes_.erase(name);
  }

  // Writes config.json and model.safetensors into the folder and returns its path. Each name of a
  // tensor gets `prefix` in front.
  const std::string& Write(const nlohmann::json& config, const std::string& prefix = "") {
    folder_.WriteText("config.json", config.dump());
    std::map<std::string, StoredTensor> tensors;
    for (const auto& [name, values] : values_) {
      tensors[prefix + name] = {.type = StoredType::kF32,
                                .shape = shapes_.at(name),
                                .data = std::as_bytes(std::span(values))};
    }
    const absl::Status written = WriteSafetensors(folder_.path() + "/model.safetensors", tensors);
    EXPECT_TRUE(written.ok()) << written;
    return folder_.path();
  }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  bool IsNorm(const std::string& name) const {
    for (const std::string& suffix : norm_suffixes_) {
      if (name.ends_with(suffix)) return true;
    }
    return false;
  }

  double scale_;
  std::vector<std::string> norm_suffixes_;
  std::map<std::string, std::vector<float>> values_;
  std::map<std::string, std::vector<int64_t>> shapes_;
  TemporaryFolder folder_;
};

}  // namespace longspan
