// ReformerEmbeddings: word plus position, without LayerNorm, token types or scaling. Positions are
// counted over all rows of a text, padding included.
//
// Axial positions replace one table of n rows by two small tables E1 and E2 of l1 and l2 rows, with
// l1 · l2 = n. Position j takes one row of each table, side by side; their widths add up to d1 + d2
// = E. Example: 524,288 positions of 256 values would be 512 MiB, while the factors [512, 1024]
// with the widths [64, 192] are 0.9 MiB.
//
// Which row of each table, for l1 = 2 and l2 = 3:
//   position j                        0 1 2 3 4 5
//   row-major     E1 row j / l2       0 0 0 1 1 1
//                 E2 row j mod l2     0 1 2 0 1 2
//   column-major  E1 row j mod l1     0 1 0 1 0 1
//                 E2 row j / l1       0 0 1 1 2 2
// Row-major is the order of the published code and of every published checkpoint, though
// descriptions of the method print the column-major formula. Column-major (axial_pos_order) serves
// checkpoints that were trained by that formula.
//
// On a backend the rows of the two tables are gathered too; a table of all positions never exists.
//
// Cost O(rows · E). Source: Reformer, arXiv 2001.04451, appendix; Ho et al., arXiv 1912.12180.
// Thread safe after construction. Proven by reformer_golden_test (row-major) and
// reformer_model_test (column-major, against a plain table).
#pragma once

#include <ATen/core/Tensor.h>

#include "core/layers/placement.h"
#include "core/models/reformer/config.h"
#include "core/models/reformer/padded_batch.h"
#include "core/weights/weight_map.h"

namespace longspan {

class ReformerEmbeddings {
 public:
  ReformerEmbeddings() = default;
  // Missing weights are recorded in the map.
  ReformerEmbeddings(WeightMap& weights, const ReformerConfig& config, const Placement& placement);

  // Writes the embedding of every row to both streams, [rows, E] float32.
  void Run(const PaddedBatch& batch, at::Tensor& x1, at::Tensor& x2) const;
  // On a backend: the embedding of every row, [rows, E] float32.
  at::Tensor OnBackend(const PaddedBatch& batch) const;

 private:
  // Adds the position's vector to the E values of `row`.
  void AddPosition(int64_t position, float* row) const;

  ReformerConfig config_;
  Placement placement_;
  // Float32, on a backend too: buckets follow from them.
  at::Tensor words_;      // [V, E]
  at::Tensor positions_;  // [max_position_embeddings, E]; undefined where positions are axial
  at::Tensor axial_[2];   // [l1, 1, d1] and [1, l2, d2]; undefined where they are not
};

}  // namespace longspan
