// Loads and stores of eight elements, float32 or bfloat16, for the _avx2 files, and Avx2Elements
// over them for loop nests that are written once. Internal linkage on purpose: only files compiled
// for AVX2 include this, and the linker must not merge any of it into code that runs elsewhere.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "core/kernels/bfloat16.h"
#include "core/kernels/lane_vector.h"

namespace longspan::kernels {

// All bits set in the lanes [0, count), for any count.
static inline __m256i FirstLanes8(int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(std::clamp<int64_t>(count, 0, 8))),
                            lane);
}

// The first `count` elements (all eight where count is larger), zeros behind them.
static inline __m256 Load8(const float* p, int64_t count) {
  return count >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, FirstLanes8(count));
}
static inline __m256 Load8(const BFloat16* p, int64_t count) {
  __m128i halves;
  if (count >= 8) {
    halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  } else {
    alignas(16) BFloat16 some[8] = {};
    for (int64_t i = 0; i < count; ++i) some[i] = p[i];
    halves = _mm_load_si128(reinterpret_cast<const __m128i*>(some));
  }
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

// Stores the first `count` lanes (all eight where count is larger) and nothing else.
static inline void Store8(float* p, int64_t count, __m256 v) {
  if (count >= 8) return _mm256_storeu_ps(p, v);
  _mm256_maskstore_ps(p, FirstLanes8(count), v);
}
// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
static inline void Store8(BFloat16* p, int64_t count, __m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  rounded = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), is_nan);
  const __m128i halves =
      _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
  if (count >= 8) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), halves);
  alignas(16) BFloat16 some[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(some), halves);
  for (int64_t i = 0; i < count; ++i) p[i] = some[i];
}

namespace {

// What layer_norm_tile.h, rope_tile.h and quantize_tile.h take as their Elements.
struct Avx2Elements {
  using V = Vector<8>;
  static constexpr int64_t kLanes = 8;

  template <typename T>
  static __m256 Load(const T* p, int64_t count) {
    return Load8(p, count);
  }
  template <typename T>
  static void Store(T* p, int64_t count, __m256 v) {
    Store8(p, count, v);
  }
  static __m256 FirstLanes(__m256 v, int64_t count) {
    return count >= 8 ? v : _mm256_and_ps(v, _mm256_castsi256_ps(FirstLanes8(count)));
  }
};

}  // namespace

}  // namespace longspan::kernels
