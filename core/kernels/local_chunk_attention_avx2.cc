#include "core/kernels/local_chunk_attention_tile.h"

namespace longspan::kernels {

void ChunkAttentionAvx2(const ChunkAttentionParams& params) {
  params.type == ElementType::kFloat32 ? RunChunkTasks<ChunkIsa<8, float>>(params)
                                       : RunChunkTasks<ChunkIsa<8, BFloat16>>(params);
}

}  // namespace longspan::kernels
