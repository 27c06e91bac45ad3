#include "core/kernels/local_chunk_attention_tile.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {
namespace {

// Pairs of bfloat16 by the instructions made for them: VDPBF16PS multiplies, with two multiply-adds
// a lane, and VCVTNE2PS2BF16 rounds.
struct Avx512Bf16 : ChunkIsa<16, BFloat16> {
  static Float Dot(Float sum, Float a, Float b) { return DotPairs(sum, a, b); }

  static Float PackWeights(const Float (&p)[2]) { return RoundToPairs(p[0], p[1]); }

  using ChunkIsa::StoreSome;
  static void StoreSome(BFloat16* target, Float v, int count) {
    if (count > 0)
      _mm256_mask_storeu_epi16(target, LaneMask(count, 0), (__m256i)_mm512_cvtneps_pbh(v));
  }

  static float SumOfSquares(const BFloat16* row, int32_t count) {
    Float squares = {};
    for (int32_t d = 0; d < count; d += 32) {
      const __mmask32 read = count - d >= 32 ? 0xffffffffu : (1u << (count - d)) - 1;
      const Float units = _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(read, row + d));
      squares = Dot(squares, units, units);
    }
    return _mm512_reduce_add_ps(squares);
  }

  static void CopyValues(const BFloat16* const* sources, int32_t first, int32_t count,
                         int32_t width, float* units) {
    for (int32_t d = first; d < first + width; d += 16, units += 16) {
      const __mmask16 lanes = count > d ? LaneMask(count, d) : 0;
      __m512i pairs = _mm512_setzero_si512();
      if (sources[0])
        pairs = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, sources[0] + d));
      if (sources[1]) {
        const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, sources[1] + d));
        pairs = _mm512_or_si512(pairs, _mm512_slli_epi32(high, 16));
      }
      _mm512_storeu_si512(units, pairs);
    }
  }
};

}  // namespace

void ChunkAttentionAvx512(const ChunkAttentionParams& params) {
  params.type == ElementType::kFloat32 ? RunChunkTasks<ChunkIsa<16, float>>(params)
                                       : RunChunkTasks<ChunkIsa<16, BFloat16>>(params);
}

void ChunkAttentionAvx512Bf16(const ChunkAttentionParams& params) {
  RunChunkTasks<Avx512Bf16>(params);
}

}  // namespace longspan::kernels
