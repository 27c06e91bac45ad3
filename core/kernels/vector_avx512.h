// Loads, stores and conversions of 16 elements for the _avx512 files. Internal linkage on purpose:
// only files compiled for AVX-512 include this, and nothing of it may be merged by the linker into
// code that runs elsewhere.
#pragma once

#include <immintrin.h>

#include "core/kernels/bfloat16.h"

namespace longspan::kernels {

// Lanes of the block that starts at element i of `width`: all 16, or the first (width - i).
static inline __mmask16 LaneMask(int64_t width, int64_t i) {
  return width - i >= 16 ? static_cast<__mmask16>(0xffff)
                         : static_cast<__mmask16>((1u << (width - i)) - 1);
}

static inline __m512 Load16(const float* p, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, p);
}
static inline __m512 Load16(const BFloat16* p, __mmask16 lanes) {
  const __m256i halves = _mm256_maskz_loadu_epi16(lanes, p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline void Store16(float* p, __mmask16 lanes, __m512 v) {
  _mm512_mask_storeu_ps(p, lanes, v);
}
// Nearest, ties to even, NaN kept; integer arithmetic, since AVX-512 alone has no conversion.
static inline void Store16(BFloat16* p, __mmask16 lanes, __m512 v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  rounded = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                                  _mm512_set1_epi32(0x7fc0));
  _mm256_mask_storeu_epi16(p, lanes, _mm512_cvtepi32_epi16(rounded));
}

}  // namespace longspan::kernels
