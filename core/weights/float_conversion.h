// Stored floating point numbers to float32. F16 and BF16 are converted exactly, since each of their
// values is a float32 value; F64 is rounded to nearest even.
//
// Pure functions, thread safe. Proven by float_conversion_test, over every F16 and BF16 value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/weights/safetensors_reader.h"

namespace longspan {

bool IsFloatingPoint(StoredType type);

// Converts stored.size() / StoredTypeBytes(type) values, for which `out` has room. `type` must be a
// floating point type; `stored` need not be aligned.
void ConvertToFloat32(StoredType type, std::span<const std::byte> stored, float* out);

}  // namespace longspan
