// RowTaskTile for AVX-512: 64 rows a block, 24 sums in the 32 registers, 2^x by a polynomial of
// degree 5 and VSCALEFPS. A second form multiplies pairs of bfloat16 by VDPBF16PS, which does two
// multiply-adds a lane.
#include "core/kernels/row_attention_tile.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {
namespace {

struct Avx512Base {
  using Float = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kRowVectors = 4;
  static constexpr int kGroupKeys = 6;
  static constexpr int kValueVectors = 4;
  // Sums: 4 rows x 4 or 3 vectors, 8 x 2 or 8 x 1, which leaves registers for the values.
  static constexpr int ValueRows(int vectors) { return vectors <= 2 ? 8 : 4; }

  static Float Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  static Float Set(float x) { return _mm512_set1_ps(x); }
  static Float Broadcast(const float* p) { return _mm512_set1_ps(*p); }
  static Float Max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float MultiplyAdd(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }

  // 2^x for x <= 0, as 2^n 2^r with |r| <= 1/2: the relative error is 1e-7. NaN stays NaN.
  static Float Exp2(Float x) {
    const Float n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Float r = _mm512_sub_ps(x, n);
    Float p = _mm512_fmadd_ps(r, Set(kExp2Terms[5]), Set(kExp2Terms[4]));
    p = _mm512_fmadd_ps(p, r, Set(kExp2Terms[3]));
    p = _mm512_fmadd_ps(p, r, Set(kExp2Terms[2]));
    p = _mm512_fmadd_ps(p, r, Set(kExp2Terms[1]));
    p = _mm512_fmadd_ps(p, r, Set(kExp2Terms[0]));
    return _mm512_scalef_ps(p, n);
  }

  static __mmask16 FirstLanes(int count) { return LaneMask(count, 0); }
  static void StoreUnits(float* target, int count, Float v) {
    _mm512_mask_storeu_ps(target, FirstLanes(count), v);
  }

  // Four steps of shuffles of two vectors.
  static void Transpose(Float (&rows)[16]) {
    Float a[16], b[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
      a[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      a[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    // b[g + c] is column c of each 4 x 4 block in the rows g .. g + 3.
#pragma GCC unroll 4
    for (int g = 0; g < 16; g += 4) {
      b[g] = _mm512_shuffle_ps(a[g], a[g + 2], 0x44);
      b[g + 1] = _mm512_shuffle_ps(a[g], a[g + 2], 0xee);
      b[g + 2] = _mm512_shuffle_ps(a[g + 1], a[g + 3], 0x44);
      b[g + 3] = _mm512_shuffle_ps(a[g + 1], a[g + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const Float low_even = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88);
      const Float low_odd = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xdd);
      const Float high_even = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88);
      const Float high_odd = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xdd);
      rows[c] = _mm512_shuffle_f32x4(low_even, high_even, 0x88);
      rows[4 + c] = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
      rows[8 + c] = _mm512_shuffle_f32x4(low_even, high_even, 0xdd);
      rows[12 + c] = _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd);
    }
  }

  static Float MaskRows(Float s, int32_t first_row, int32_t lo, int32_t hi) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i row = _mm512_add_epi32(_mm512_set1_epi32(first_row), lane);
    const __mmask16 seen = _mm512_cmpge_epi32_mask(row, _mm512_set1_epi32(lo)) &
                           _mm512_cmple_epi32_mask(row, _mm512_set1_epi32(hi));
    return _mm512_mask_mov_ps(_mm512_set1_ps(kHiddenScore), seen, s);
  }
};

template <class ElementT>
struct Avx512 : Avx512Base {
  using Element = ElementT;
  static constexpr int kPack = 1;

  static Float Dot(Float sum, Float a, Float b) { return _mm512_fmadd_ps(a, b, sum); }

  static Float LoadUnits(const Element* source, int count) {
    return Load16(source, FirstLanes(count));
  }
  static Float LoadValues(const Element* const* sources, int first, int count) {
    return LoadUnits(sources[0] + first, count);
  }
  static void StoreElements(Element* target, int count, Float v) {
    Store16(target, FirstLanes(count), v);
  }
  static Float PackWeights(const Float (&p)[1]) { return p[0]; }
};

struct Avx512Bf16 : Avx512Base {
  using Element = BFloat16;
  static constexpr int kPack = 2;

  static Float Dot(Float sum, Float a, Float b) { return DotPairs(sum, a, b); }

  // A unit is a pair of dimensions: the row as it lies in memory.
  static Float LoadUnits(const Element* source, int count) {
    const __mmask32 read = count >= 32 ? 0xffffffffu : (1u << count) - 1;
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(read, source));
  }
  // A unit is a pair of keys, the first in the low half.
  static Float LoadValues(const Element* const* sources, int first, int count) {
    const __m512i low =
        _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(FirstLanes(count), sources[0] + first));
    const __m512i high =
        _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(FirstLanes(count), sources[1] + first));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
  static void StoreElements(Element* target, int count, Float v) {
    _mm256_mask_storeu_epi16(target, FirstLanes(count), (__m256i)_mm512_cvtneps_pbh(v));
  }
  static Float PackWeights(const Float (&p)[2]) { return RoundToPairs(p[0], p[1]); }
};

}  // namespace

void RunRowTasksAvx512(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                       int64_t num_tasks) {
  if (tensors.type == ElementType::kFloat32)
    return RunTasks<Avx512<float>>(tensors, tasks, num_tasks);
  RunTasks<Avx512<BFloat16>>(tensors, tasks, num_tasks);
}

void RunRowTasksAvx512Bf16(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                           int64_t num_tasks) {
  RunTasks<Avx512Bf16>(tensors, tasks, num_tasks);
}

}  // namespace longspan::kernels
