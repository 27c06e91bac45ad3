// TokenRows: the way of one text's hidden rows to EncodeOptions::token_sink. A multi-vector model's
// rows are projected and normalised, and those of tokens on its skip list are left out:
//
//   tokens      [CLS] it is , they say [SEP]        "," is skipped
//   token_sink  (0, 3, rows of [CLS] it is)  (4, 3, rows of they say [SEP])
//
// Lives for one text of one pass, on one thread; what it is made of must outlive it. Proven by
// encoder_test and multi_vector_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/encoder.h"
#include "core/model_info.h"
#include "core/models/output_head.h"

namespace longspan {

class TokenRows {
 public:
  // `ids`: the text's tokens.
  TokenRows(const ModelInfo& model, const OutputHead& head, const EncodeOptions& options,
            std::span<const int32_t> ids)
      : model_(model), head_(head), options_(options), ids_(ids) {}

  // Hands over the rows from token `begin` on: [n, width] float32, contiguous. INTERNAL where a
  // value is NaN or Inf.
  absl::Status Send(int64_t begin, const at::Tensor& rows) const;

 private:
  const ModelInfo& model_;
  const OutputHead& head_;
  const EncodeOptions& options_;
  const std::span<const int32_t> ids_;
};

// Whether all values are finite, and the error where they are not.
bool AllFinite(const float* values, int64_t count);
absl::Status NotFinite();

}  // namespace longspan
