// Random values in bfloat16 or float16 on the host, and their floats.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "core/cuda/kernels/kernels.h"

namespace longspan::cuda {

inline uint16_t ToStorage(float x, Storage storage) {
  uint16_t bits;
  if (storage == Storage::kFloat16) {
    const auto half = static_cast<_Float16>(x);
    std::memcpy(&bits, &half, 2);
    return bits;
  }
  uint32_t word;
  std::memcpy(&word, &x, 4);
  return static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);  // to the nearest even
}

inline float FromStorage(uint16_t bits, Storage storage) {
  if (storage == Storage::kFloat16) {
    _Float16 half;
    std::memcpy(&half, &bits, 2);
    return static_cast<float>(half);
  }
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float x;
  std::memcpy(&x, &word, 4);
  return x;
}

struct Values {
  std::vector<uint16_t> stored;
  std::vector<float> floats;  // what `stored` holds
};

inline Values RandomValues(std::mt19937& random, int64_t count, Storage storage, float spread = 1) {
  std::normal_distribution<float> normal(0, spread);
  Values values;
  values.stored.reserve(count);
  values.floats.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    values.stored.push_back(ToStorage(normal(random), storage));
    values.floats.push_back(FromStorage(values.stored.back(), storage));
  }
  return values;
}

inline std::vector<float> RandomFloats(std::mt19937& random, int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& x : values) x = normal(random);
  return values;
}

}  // namespace longspan::cuda
