// Word plus position; no LayerNorm, no token types, no scaling. Positions are counted over all rows
// of a text, pads included.
//
// Axial positions: instead of one table of n rows, two small ones of s0 and s1 rows with s0 * s1 =
// n, and position j takes one row of each, side by side (d0 + d1 = E). 524,288 positions of 256
// values would be 512 MiB; [512, 1024] with [64, 192] is 0.9 MiB.
//
//   s0 = 2, s1 = 3, row-major:      j = 0 1 2 3 4 5  ->  E1 row (j / 3) 0 0 0 1 1 1,  E2 row (j % 3) 0 1 2 0 1 2
//                   column-major:                        E1 row (j % 2) 0 1 0 1 0 1,  E2 row (j / 2) 0 0 1 1 2 2
//
// Row-major is the order of the published code and of every published checkpoint, whatever their
// descriptions say; column-major (axial_pos_order) serves checkpoints trained by the descriptions'
// formula. Source: Reformer, arXiv 2001.04451, appendix; Ho et al. 2019. Proven by
// reformer_golden_test (row-major) and reformer_model_test (column-major, against a plain table).
#pragma once

#include <ATen/core/Tensor.h>

#include "core/models/reformer/config.h"
#include "core/models/reformer/padded_batch.h"
#include "core/weights/weight_map.h"

namespace longspan {

class ReformerEmbeddings {
 public:
  ReformerEmbeddings() = default;
  // Errors are recorded in `weights`.
  ReformerEmbeddings(WeightMap& weights, const ReformerConfig& config);

  // Writes the embedding of every row to both residual streams, [rows, E].
  void Run(const PaddedBatch& batch, at::Tensor& x1, at::Tensor& x2) const;

 private:
  void AddPosition(int64_t position, float* row) const;

  ReformerConfig config_;
  at::Tensor words_;      // [vocab, E]
  at::Tensor positions_;  // [max_position_embeddings, E], not axial
  at::Tensor axial_[2];   // [s0, d0], [s1, d1]
};

}  // namespace longspan
