#include "core/kernels/block_sparse_attention.h"

#include <cstddef>
#include <numeric>
#include <vector>

namespace longspan::kernels {
namespace {

// A text has three kinds of rows: those of the first block, of the last block, and of the blocks
// between. `edges` holds the positions of the first and of the last block.
void AppendTextTasks(const BlockSparseAttentionParams& params, int32_t begin, int32_t end,
                     const std::vector<int32_t>& edges, std::vector<RowTask>* tasks) {
  const int32_t block = params.block_size;
  RowTask all;
  all.text_begin = begin;
  all.text_end = end;
  all.reach = end - begin;
  all.row_begin = begin;
  all.row_end = begin + block;
  AppendRowTasks(all, tasks);
  all.row_begin = end - block;
  all.row_end = end;
  AppendRowTasks(all, tasks);

  RowTask middle;
  middle.text_begin = begin;
  middle.text_end = end;
  middle.row_begin = begin + block;
  middle.row_end = end - block;
  middle.block = block;
  middle.reach = 1;
  middle.columns = edges.data();
  middle.num_columns = static_cast<int32_t>(edges.size());
  middle.weighted_end = begin + block;
  middle.weight = static_cast<float>(1 + params.random_blocks);
  AppendRowTasks(middle, tasks);
}

}  // namespace

BlockSparseTasks MakeBlockSparseTasks(const BlockSparseAttentionParams& params) {
  const int32_t block = params.block_size;
  BlockSparseTasks made;
  made.edges.resize(params.tensors.num_texts);
  for (int32_t text = 0; text < params.tensors.num_texts; ++text) {
    const int32_t begin = params.tensors.cu_seqlens[text];
    const int32_t end = params.tensors.cu_seqlens[text + 1];
    std::vector<int32_t>& edges = made.edges[text];
    edges.resize(2 * static_cast<size_t>(block));
    std::iota(edges.begin(), edges.begin() + block, begin);
    std::iota(edges.begin() + block, edges.end(), end - block);
    AppendTextTasks(params, begin, end, edges, &made.tasks);
  }
  return made;
}

void BlockSparseAttention(const BlockSparseAttentionParams& params) {
  RunRowTasks(params.tensors, MakeBlockSparseTasks(params).tasks);
}

}  // namespace longspan::kernels
