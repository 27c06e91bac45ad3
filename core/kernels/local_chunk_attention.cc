#include "core/kernels/local_chunk_attention.h"

#include <cstdlib>

#include "core/kernels/cpu_features.h"

namespace longspan::kernels {

void ChunkAttention(const ChunkAttentionParams& params) {
#if defined(__x86_64__)
  if (GetCpuFeatures().avx512) return ChunkAttentionAvx512(params);
#endif
  ChunkAttentionPortable(params);
}

void CircularChunks(int32_t c, int32_t num_chunks, int32_t before, int32_t after, int32_t* chunks) {
  for (int32_t offset = -before; offset <= after; ++offset) {
    *chunks++ = std::abs(offset) >= num_chunks ? c : (c + offset + num_chunks) % num_chunks;
  }
}

}  // namespace longspan::kernels
