// QuantizeModel: makes a copy of a model folder whose linear weights are int8
// (core/weights/int8_weights.h). It is about a quarter of the size, and loads with dtype int8
// alone. It computes bit for bit what the source computes with dtype int8, which quantises at load.
// Embeddings, norms, biases, Longformer's global projections and the attention of Reformer's LSH
// layers stay as they are, since int8 models use them in float32. Proven by quantize_test.
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

// Errors are one line. INVALID_ARGUMENT: the folder is int8 already or has no linear weights that
// the tool knows. ALREADY_EXISTS: the output folder is not empty. Errors of reading and writing
// pass through.
absl::StatusOr<QuantizedModel> QuantizeModel(const std::string& source_dir,
                                             const std::string& output_dir);

}  // namespace longspan
