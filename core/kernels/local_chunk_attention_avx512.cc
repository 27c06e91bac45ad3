#if defined(__x86_64__)
#include "core/kernels/local_chunk_tile.h"

namespace longspan::kernels {

void ChunkAttentionAvx512(const ChunkAttentionParams& params) {
  thread_local Scratch scratch;
  ChunkAttentionTile<16, 8>(params, scratch).Run();
}

}  // namespace longspan::kernels
#endif
