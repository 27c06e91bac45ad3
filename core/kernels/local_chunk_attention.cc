#include "core/kernels/local_chunk_attention.h"

#include <cstdlib>

namespace longspan::kernels {

std::vector<ChunkAttentionImplementation> ChunkAttentionImplementations(ElementType type) {
  std::vector<ChunkAttentionImplementation> all = {
      {"avx512", &CpuFeatures::avx512, ChunkAttentionAvx512},
      {"avx2", &CpuFeatures::avx2, ChunkAttentionAvx2},
      {"portable", nullptr, ChunkAttentionPortable},
  };
  if (type == ElementType::kBFloat16) {
    // Where VDPBF16PS is slow, the float32 arithmetic of "avx512" is faster.
    const auto place = all.begin() + (GetCpuFeatures().slow_vdpbf16ps ? 1 : 0);
    all.insert(place, {"avx512_bf16", &CpuFeatures::avx512_bf16, ChunkAttentionAvx512Bf16});
  }
  return Supported(all);
}

void ChunkAttention(const ChunkAttentionParams& params) {
  static const auto run_float32 = ChunkAttentionImplementations(ElementType::kFloat32).front().run;
  static const auto run_bfloat16 =
      ChunkAttentionImplementations(ElementType::kBFloat16).front().run;
  params.type == ElementType::kFloat32 ? run_float32(params) : run_bfloat16(params);
}

void CircularChunks(int32_t c, int32_t num_chunks, int32_t before, int32_t after, int32_t* chunks) {
  for (int32_t offset = -before; offset <= after; ++offset) {
    *chunks++ = std::abs(offset) >= num_chunks ? c : (c + offset + num_chunks) % num_chunks;
  }
}

}  // namespace longspan::kernels
