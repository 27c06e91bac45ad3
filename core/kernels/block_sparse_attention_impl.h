// What stands behind BlockSparseAttention: its tasks, and the attention by a chosen implementation,
// for tests.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/block_sparse_attention.h"
#include "core/kernels/row_attention.h"

namespace longspan::kernels {

struct BlockSparseTasks {
  std::vector<std::vector<int32_t>>
      edges;                   // of each text: the positions of its first and its last block
  std::vector<RowTask> tasks;  // their columns point into the vectors above
};
// The tasks of BlockSparseAttention.
BlockSparseTasks MakeBlockSparseTasks(const BlockSparseAttentionParams& params);

void BlockSparseAttention(const BlockSparseAttentionParams& params,
                          AttentionImplementation implementation);

}  // namespace longspan::kernels
