#include "core/kernels/local_chunk_attention.h"

#include <cstdlib>

#include "core/kernels/cpu_features.h"

namespace longspan::kernels {

std::vector<ChunkAttentionImplementation> ChunkAttentionImplementations(ElementType type) {
  std::vector<ChunkAttentionImplementation> all = {{"portable", ChunkAttentionPortable}};
#if defined(__x86_64__)
  const CpuFeatures& features = GetCpuFeatures();
  if (features.avx2) all.push_back({"avx2", ChunkAttentionAvx2});
  if (features.avx512) all.push_back({"avx512", ChunkAttentionAvx512});
  if (features.avx512_bf16 && type == ElementType::kBFloat16)
    all.push_back({"avx512_bf16", ChunkAttentionAvx512Bf16});
#endif
  return all;
}

void ChunkAttention(const ChunkAttentionParams& params) {
  static const auto run_float32 = ChunkAttentionImplementations(ElementType::kFloat32).back().run;
  static const auto run_bfloat16 = ChunkAttentionImplementations(ElementType::kBFloat16).back().run;
  params.type == ElementType::kFloat32 ? run_float32(params) : run_bfloat16(params);
}

void CircularChunks(int32_t c, int32_t num_chunks, int32_t before, int32_t after, int32_t* chunks) {
  for (int32_t offset = -before; offset <= after; ++offset) {
    *chunks++ = std::abs(offset) >= num_chunks ? c : (c + offset + num_chunks) % num_chunks;
  }
}

}  // namespace longspan::kernels
