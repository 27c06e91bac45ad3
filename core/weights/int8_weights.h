// Linear weights stored as int8: NAME [out, in] I8 beside NAME_scale [out] F32, with one scale for
// each output channel and weight = value * scale. `longspan-model quantize` writes them, and a
// model of dtype int8 reads them.
//
// Such a model computes, bit for bit, what it computes from the float weights that the int8 weights
// were made from, because float weights are quantised by the same rule when they are loaded:
//
//   scale = max |w| / 127,  value = round(w / scale), both in float32
//
// So each channel has a value of 127 or -127. Restoring gives these the float m with m / 127 ==
// scale in float32 (127 * scale may be off by the last bit). Quantising the restored weights then
// finds the same scale and the same values again.
//
// Pure functions, thread safe. Proven by quantize_test.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {

inline constexpr std::string_view kInt8ScaleSuffix = "_scale";

// Restores the float weights of one channel by the rule above; `out` has room for values.size().
void RestoreInt8Channel(std::span<const int8_t> values, float scale, float* out);

// What is wrong with a pair of values and scales, for an error behind the weight's name: scales
// that are missing, shapes that do not belong together, a scale that is not positive and finite, a
// value of -128. Empty = nothing.
std::string CheckInt8Weight(const StoredTensor& values, const StoredTensor* scales);

// The first of the files that holds int8 weights with their scales; empty = none does. Errors:
// those of SafetensorsReader::Open.
absl::StatusOr<std::string> FindInt8Weights(const std::vector<std::string>& files);

}  // namespace longspan
