// VectorFormat: vectors as they travel: FLOAT32 as numbers, every other format as little-endian
// bytes.
//   FLOAT16, BFLOAT16   2 bytes a value, rounded to nearest even
//   INT8                1 byte a value, round(value / scale); scale = max|value| / 127, or 1 for a
//                       zero vector, so that value ~ int8 * scale
//   BINARY              1 bit a value, 1 where value > 0; the first value in the highest bit of the
//                       first byte
//
// Free functions without state: thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace longspan {

enum class VectorFormat { kFloat32, kFloat16, kBFloat16, kInt8, kBinary };

// Bytes of a vector of `dimensions` values in `format`.
int64_t PackedBytes(VectorFormat format, int64_t dimensions);

// IEEE 754 binary16: what is too large becomes infinity, what is small a subnormal.
uint16_t ToFloat16(float value);
uint16_t ToBFloat16(float value);

// Appends the bytes of `values` in `format` to `out`; nothing for kFloat32. Sets `scale` to that of
// kInt8, and to 0 for the other formats.
void AppendPacked(std::span<const float> values, VectorFormat format, std::string* out,
                  float* scale);

}  // namespace longspan
