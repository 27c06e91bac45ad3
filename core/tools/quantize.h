// QuantizeModel: a copy of a model folder whose linear weights are int8
// (core/weights/int8_weights.h): about a quarter of the size, for dtype int8 alone. It computes bit
// for bit what the source does with dtype int8, which quantises at load. Embeddings, norms, biases,
// Longformer's global projections and Reformer's LSH layers stay as they are: int8 models read them
// in float32.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace longspan {

struct QuantizedModel {
  int64_t num_quantized = 0;  // weights that are int8 now
  int64_t bytes_before = 0;   // of the weight files
  int64_t bytes_after = 0;
};

// Errors are one line: a folder that is int8 already or has no linear weights, an output that is
// not empty.
absl::StatusOr<QuantizedModel> QuantizeModel(const std::string& source_dir,
                                             const std::string& output_dir);

}  // namespace longspan
