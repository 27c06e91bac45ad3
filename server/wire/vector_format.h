// Vectors as they travel: FLOAT32 as numbers, every other format as little-endian bytes.
//   FLOAT16, BFLOAT16   2 bytes a value, rounded to nearest even
//   INT8                round(value / scale), scale = max|value| / 127 (1 for a zero vector), so value ~ int8 * scale
//   BINARY              1 bit a value, 1 where value > 0, first value in the highest bit of the first byte
//
// Free functions without state: thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace longspan {

enum class VectorFormat { kFloat32, kFloat16, kBFloat16, kInt8, kBinary };

uint16_t ToFloat16(
    float value);  // IEEE 754 binary16: overflow gives infinity, small values subnormals
uint16_t ToBFloat16(float value);

// Bytes of `values` in `format` (not kFloat32), appended to `out`. `scale` is set for kInt8, 0
// otherwise.
void AppendPacked(std::span<const float> values, VectorFormat format, std::string* out,
                  float* scale);

}  // namespace longspan
