#include "core/kernels/local_chunk_attention_tile.h"

namespace longspan::kernels {

void ChunkAttentionPortable(const ChunkAttentionParams& params) {
  params.type == ElementType::kFloat32 ? RunChunkTasks<ChunkIsa<4, float>>(params)
                                       : RunChunkTasks<ChunkIsa<4, BFloat16>>(params);
}

}  // namespace longspan::kernels
