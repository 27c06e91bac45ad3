// Loads and stores of sixteen elements, float32 or bfloat16, for the _avx512 files, Avx512Elements
// over them for loop nests that are written once, and arithmetic on pairs of bfloat16. Internal
// linkage on purpose: only files compiled for AVX-512 include this, and the linker must not merge
// any of it into code that runs elsewhere.
#pragma once

#include <immintrin.h>

#include "core/kernels/bfloat16.h"
#include "core/kernels/lane_vector.h"

namespace longspan::kernels {

// Lanes of the vector that starts at element i of `width`: all 16, or the first (width - i).
static inline __mmask16 LaneMask(int64_t width, int64_t i) {
  return width - i >= 16 ? static_cast<__mmask16>(0xffff)
                         : static_cast<__mmask16>((1u << (width - i)) - 1);
}

// The elements of `lanes`, zeros in the other lanes.
static inline __m512 Load16(const float* p, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, p);
}
static inline __m512 Load16(const BFloat16* p, __mmask16 lanes) {
  const __m256i halves = _mm256_maskz_loadu_epi16(lanes, p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

// Stores `lanes` and nothing else.
static inline void Store16(float* p, __mmask16 lanes, __m512 v) {
  _mm512_mask_storeu_ps(p, lanes, v);
}
// Rounds to the nearest bfloat16, ties to even; NaN stays NaN. Integer arithmetic does it, because
// AVX-512 has a conversion only with its BF16 extension.
static inline void Store16(BFloat16* p, __mmask16 lanes, __m512 v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  rounded = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                                  _mm512_set1_epi32(0x7fc0));
  _mm256_mask_storeu_epi16(p, lanes, _mm512_cvtepi32_epi16(rounded));
}

namespace {

// What layer_norm_tile.h, rope_tile.h and quantize_tile.h take as their Elements.
struct Avx512Elements {
  using V = Vector<16>;
  static constexpr int64_t kLanes = 16;

  template <typename T>
  static __m512 Load(const T* p, int64_t count) {
    return Load16(p, LaneMask(count, 0));
  }
  template <typename T>
  static void Store(T* p, int64_t count, __m512 v) {
    Store16(p, LaneMask(count, 0), v);
  }
  static __m512 FirstLanes(__m512 v, int64_t count) {
    return _mm512_maskz_mov_ps(LaneMask(count, 0), v);
  }
};

}  // namespace

// sum + the four products of unsigned bytes of `a` by signed bytes of `b` in each lane (VPDPBUSD).
// Written as the instruction with the sum tied to its register: given the intrinsic, g++ 12 copies
// 24 sums about and through memory in every step of a tile. The emulation of tests has no such
// instruction.
static inline __m512i DotBytes(__m512i sum, __m512i a, __m512i b) {
#if defined(__AVX512VNNI__)
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
#else
  return _mm512_dpbusd_epi32(sum, a, b);
#endif
}

// Pairs of bfloat16, for the _avx512_bf16 implementations. A lane holds a pair, the first of it in
// the low half.

// sum + the products of the two pairs of each lane: two multiply-adds a lane (VDPBF16PS).
static inline __m512 DotPairs(__m512 sum, __m512 a, __m512 b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

// Pairs of first[i] and second[i], rounded to the nearest bfloat16 (VCVTNE2PS2BF16).
static inline __m512 RoundToPairs(__m512 first, __m512 second) {
  alignas(64) static constexpr int16_t kInterleave[32] = {
      0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(second, first);
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(kInterleave), halves));
}

}  // namespace longspan::kernels
