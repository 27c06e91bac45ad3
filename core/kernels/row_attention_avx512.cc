// RowTaskTile for AVX-512: 64 rows a block, 24 sums in the 32 registers, 2^x by a polynomial of
// degree 5 and VSCALEFPS. A second form multiplies pairs of bfloat16 by VDPBF16PS, which does two
// multiply-adds a lane. For scores from int8 either takes VPDPBUSD, which does four.
#include <bit>
#include <limits>

#include "core/kernels/quantize.h"
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

// Scores of int8. A row of one head has the scale max |x| / 127 and becomes x / scale, rounded.
// VPDPBUSD multiplies unsigned by signed bytes, so queries are shifted by 128, and the sum of a key
// begins with what takes the shift away. Sums are exact.
//   Example, D = 2: q = [1 -0.5] has the scale 1/127 and the bytes [255 64]; k = [2 2] has 2/127
//   and [127 127]. The sum begins with -128 · 254 = -32,512 and ends as 255 · 127 + 64 · 127 -
//   32,512 = 8,001, which times 1/127 · 2/127 is 0.992. In floats it is 1.
// A row with NaN or Inf has the scale NaN.
template <class Isa>
struct Int8Scores {
  using Element = typename Isa::Element;
  using Sum = __m512i;
  static constexpr int kPack = 4;
  static constexpr bool kQuantizes = true;

  static KeyScore PackKey(const Element* row, int32_t count, int32_t depth, float* units) {
    const Scale scale = ScaleOf(row, count);
    __m512i sum = _mm512_setzero_si512();
    for (int32_t d = 0; d < depth * kPack; d += 16) {
      const __m512i values = Quantize(row, count, d, scale);
      sum = _mm512_add_epi32(sum, values);
      StoreBytes(units, depth, d, values);
    }
    return {.scale = scale.step, .start = -128 * _mm512_reduce_add_epi32(sum)};
  }
  static float PackQuery(const Element* row, int32_t count, int32_t depth, float* units) {
    const Scale scale = ScaleOf(row, count);
    for (int32_t d = 0; d < depth * kPack; d += 16)
      StoreBytes(units, depth, d,
                 _mm512_add_epi32(Quantize(row, count, d, scale), _mm512_set1_epi32(128)));
    return scale.step;
  }

  static Sum Start(const KeyScore& key) { return _mm512_set1_epi32(key.start); }
  static Sum Dot(Sum sum, __m512 q, __m512 k) {
    return DotBytes(sum, _mm512_castps_si512(q), _mm512_castps_si512(k));
  }
  static __m512 Score(Sum sum, const KeyScore& key, __m512 query_scales) {
    return _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), query_scales), Isa::Set(key.scale));
  }

 private:
  struct Scale {
    float step;     // value of 1
    float inverse;  // 1 / step, or 0
  };
  // As integers, magnitudes are in the order of the floats, and those of NaN are above that of Inf.
  static Scale ScaleOf(const Element* row, int32_t count) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i bits = _mm512_setzero_si512();
    for (int32_t d = 0; d < count; d += 16)
      bits = _mm512_max_epi32(
          bits,
          _mm512_and_si512(_mm512_castps_si512(Load16(row + d, LaneMask(count, d))), magnitude));
    const float largest = std::bit_cast<float>(_mm512_reduce_max_epi32(bits));
    if (!(largest < std::numeric_limits<float>::infinity()))
      return {.step = std::numeric_limits<float>::quiet_NaN(), .inverse = 0};
    return {.step = largest / 127.0f,
            .inverse = largest >= kLeastQuantized ? 127.0f / largest : 0.0f};
  }
  static __m512i Quantize(const Element* row, int32_t count, int32_t d, const Scale& scale) {
    return _mm512_cvtps_epi32(
        _mm512_mul_ps(Load16(row + d, LaneMask(count, d)), Isa::Set(scale.inverse)));
  }
  static void StoreBytes(float* units, int32_t depth, int32_t d, __m512i values) {
    _mm_mask_storeu_epi8(reinterpret_cast<char*>(units) + d, LaneMask(depth * kPack, d),
                         _mm512_cvtepi32_epi8(values));
  }
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

void RunRowTasksAvx512Vnni(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                           int64_t num_tasks) {
  if (tensors.type == ElementType::kFloat32)
    return RunTasks<Avx512<float>, Int8Scores<Avx512<float>>>(tensors, tasks, num_tasks);
  RunTasks<Avx512<BFloat16>, Int8Scores<Avx512<BFloat16>>>(tensors, tasks, num_tasks);
}

void RunRowTasksAvx512VnniBf16(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                               int64_t num_tasks) {
  RunTasks<Avx512Bf16, Int8Scores<Avx512Bf16>>(tensors, tasks, num_tasks);
}

}  // namespace longspan::kernels
