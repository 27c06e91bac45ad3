#include "core/kernels/local_chunk_tile.h"

namespace longspan::kernels {

void ChunkAttentionPortable(const ChunkAttentionParams& params) {
  thread_local Scratch scratch;
  ChunkAttentionTile<4, 4>(params, scratch).Run();
}

}  // namespace longspan::kernels
