// RowTaskTile for AVX2 and FMA: 24 rows a block, twelve sums in the sixteen registers, 2^x by a
// polynomial of degree 5.
#include "core/kernels/row_attention_tile.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {
namespace {

template <class ElementT>
struct Avx2 {
  using Element = ElementT;
  using Float = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kRowVectors = 3;
  static constexpr int kGroupKeys = 4;
  static constexpr int kPack = 1;
  static constexpr int kValueVectors = 3;
  // Sums: 4 rows x 3 vectors, 4 x 2 or 8 x 1.
  static constexpr int ValueRows(int vectors) { return vectors == 1 ? 8 : 4; }

  static Float Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Float v) { _mm256_storeu_ps(p, v); }
  static Float Set(float x) { return _mm256_set1_ps(x); }
  static Float Broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static Float Max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float MultiplyAdd(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float Dot(Float sum, Float a, Float b) { return _mm256_fmadd_ps(a, b, sum); }

  // 2^x for x <= 0, as 2^n 2^r with |r| <= 1/2: the relative error is 1e-7. The result is 0 below
  // -125, and NaN stays NaN.
  static Float Exp2(Float x) {
    const Float n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Float r = _mm256_sub_ps(x, n);
    Float p = _mm256_fmadd_ps(r, Set(kExp2Terms[5]), Set(kExp2Terms[4]));
    p = _mm256_fmadd_ps(p, r, Set(kExp2Terms[3]));
    p = _mm256_fmadd_ps(p, r, Set(kExp2Terms[2]));
    p = _mm256_fmadd_ps(p, r, Set(kExp2Terms[1]));
    p = _mm256_fmadd_ps(p, r, Set(kExp2Terms[0]));
    // n is added to the exponent of p, which is 0 or -1. Where the sum might leave the eight bits
    // of the exponent, the result is 0.
    const __m256i raised =
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, Set(-125.0f), _CMP_LT_OQ),
                            _mm256_castsi256_ps(raised));
  }

  static Float MaskRows(Float s, int32_t first_row, int32_t lo, int32_t hi) {
    const __m256i row =
        _mm256_add_epi32(_mm256_set1_epi32(first_row), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256i hidden = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(lo), row),
                                           _mm256_cmpgt_epi32(row, _mm256_set1_epi32(hi)));
    return _mm256_blendv_ps(s, Set(kHiddenScore), _mm256_castsi256_ps(hidden));
  }

  static Float LoadUnits(const Element* source, int count) { return Load8(source, count); }
  static void StoreUnits(float* target, int count, Float v) { Store8(target, count, v); }
  static Float LoadValues(const Element* const* sources, int first, int count) {
    return Load8(sources[0] + first, count);
  }
  static void StoreElements(Element* target, int count, Float v) { Store8(target, count, v); }
  static Float PackWeights(const Float (&p)[1]) { return p[0]; }

  // Three steps of shuffles of two vectors.
  static void Transpose(Float (&rows)[8]) {
    Float a[8], b[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      a[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      a[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    // b[g + c] is column c of each 4 x 4 block in the rows g .. g + 3.
#pragma GCC unroll 2
    for (int g = 0; g < 8; g += 4) {
      b[g] = _mm256_shuffle_ps(a[g], a[g + 2], 0x44);
      b[g + 1] = _mm256_shuffle_ps(a[g], a[g + 2], 0xee);
      b[g + 2] = _mm256_shuffle_ps(a[g + 1], a[g + 3], 0x44);
      b[g + 3] = _mm256_shuffle_ps(a[g + 1], a[g + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      rows[c] = _mm256_permute2f128_ps(b[c], b[4 + c], 0x20);
      rows[4 + c] = _mm256_permute2f128_ps(b[c], b[4 + c], 0x31);
    }
  }
};

}  // namespace

void RunRowTasksAvx2(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                     int64_t num_tasks) {
  if (tensors.type == ElementType::kFloat32)
    return RunTasks<Avx2<float>>(tensors, tasks, num_tasks);
  RunTasks<Avx2<BFloat16>>(tensors, tasks, num_tasks);
}

}  // namespace longspan::kernels
