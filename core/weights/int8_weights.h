// Linear weights stored as int8: NAME [out, in] I8 beside NAME_scale [out] F32, weight = value *
// scale, one scale per output channel. `longspan-model quantize` writes them and a model of dtype
// int8 reads them; what it computes is bit for bit what the float weights give that they were made
// from, which are quantised at load:
//   scale = max |w| / 127 and value = round(w / scale), both in float32, so each channel has a value of 127 or -127. Restoring
//   gives those the m with m / 127 == scale in float32 (127 * scale may be a last bit off), so that quantising again finds the
//   same scale and the same values.
// Pure functions, thread safe.  Proven by int8_weights_test and quantize_test.
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

// Float weights of one channel, as said above.
void RestoreInt8Channel(std::span<const int8_t> values, float scale, float* out);

// Empty, or what is wrong with a pair: shapes that do not belong together, a scale that is not
// positive and finite, a value of -128.
std::string CheckInt8Weight(const StoredTensor& values, const StoredTensor* scales);

// The first of the files that holds int8 weights; empty = none does.
absl::StatusOr<std::string> FindInt8Weights(const std::vector<std::string>& files);

}  // namespace longspan
