// Stored floating point numbers to float32, exactly: every F16 and BF16 value is a float32 value,
// F64 is rounded to nearest even.
// `stored` need not be aligned. Pure functions, thread safe.  Proven by float_conversion_test (every F16 and BF16 value).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/weights/safetensors_reader.h"

namespace longspan {

bool IsFloatingPoint(StoredType type);

// Converts stored.size() / StoredTypeBytes(type) values. `type` must be a floating point type.
void ConvertToFloat32(StoredType type, std::span<const std::byte> stored, float* out);

}  // namespace longspan
