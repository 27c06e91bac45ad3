// RowTaskTile for AVX-512: 64 rows a block, 24 accumulators, e^x by a polynomial of degree 5 and VSCALEFPS; and the form that
// multiplies pairs of bfloat16 with VDPBF16PS, which does two multiply-adds a lane.
#if defined(__x86_64__)
#include "core/kernels/sliding_window_attention_tile.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {
namespace {

struct Avx512Base {
  using Float = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kRowVectors = 4;
  static constexpr int kGroupKeys = 6;
  static constexpr int kValueVectors = 4;
  // Accumulators: 4 x 4, 5 x 3, 8 x 2, 16 x 1 at most, which leaves registers for the values.
  static constexpr int ValueRows(int vectors) { return vectors <= 2 ? 8 : 4; }

  static Float Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  static Float Set(float x) { return _mm512_set1_ps(x); }
  static Float Broadcast(const float* p) { return _mm512_set1_ps(*p); }
  static Float Max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float MultiplyAdd(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }

  // 2^x for x <= 0 by 2^n 2^r, |r| <= 1/2: relative error 1e-7; NaN stays NaN.
  static Float Exp2(Float x) {
    const Float n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Float r = _mm512_sub_ps(x, n);
    Float p = _mm512_fmadd_ps(r, Set(kExp2[5]), Set(kExp2[4]));
    p = _mm512_fmadd_ps(p, r, Set(kExp2[3]));
    p = _mm512_fmadd_ps(p, r, Set(kExp2[2]));
    p = _mm512_fmadd_ps(p, r, Set(kExp2[1]));
    p = _mm512_fmadd_ps(p, r, Set(kExp2[0]));
    return _mm512_scalef_ps(p, n);
  }

  static Float MaskRows(Float s, int32_t first_row, int32_t lo, int32_t hi) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i row = _mm512_add_epi32(_mm512_set1_epi32(first_row), lane);
    const __mmask16 seen =
        _mm512_cmpge_epi32_mask(row, _mm512_set1_epi32(lo)) & _mm512_cmple_epi32_mask(row, _mm512_set1_epi32(hi));
    return _mm512_mask_mov_ps(_mm512_set1_ps(kMasked), seen, s);
  }
};

template <class ElementT>
struct Avx512 : Avx512Base {
  using Element = ElementT;
  static constexpr int kPack = 1;

  static Float Dot(Float sum, Float a, Float b) { return _mm512_fmadd_ps(a, b, sum); }

  static void PackRow(const Element* source, int head_size, int depth, float* target) {
    for (int d = 0; d < depth; d += 16) Store16(target + d, LaneMask(depth, d), Load16(source + d, LaneMask(head_size, d)));
  }
  static void PackValues(const Element* const* sources, int head_size, int width, float* target) {
    for (int d = 0; d < width; d += 16) Store(target + d, Load16(sources[0] + d, LaneMask(head_size, d)));
  }
  static Float PackWeights(const Float (&p)[1]) { return p[0]; }
};

struct Avx512Bf16 : Avx512Base {
  using Element = BFloat16;
  static constexpr int kPack = 2;

  static Float Dot(Float sum, Float a, Float b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

  // A pair of dimensions a unit: the row as it lies in memory.
  static void PackRow(const Element* source, int head_size, int depth, float* target) {
    for (int d = 0; d < depth; d += 16) {
      const int halves = head_size - 2 * d;
      const __mmask32 read = halves >= 32 ? 0xffffffffu : (1u << halves) - 1;
      Store16(target + d, LaneMask(depth, d), _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(read, source + 2 * d)));
    }
  }
  // A pair of keys a unit, the first in the low half.
  static void PackValues(const Element* const* sources, int head_size, int width, float* target) {
    for (int d = 0; d < width; d += 16) {
      const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(LaneMask(head_size, d), sources[0] + d));
      const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(LaneMask(head_size, d), sources[1] + d));
      Store(target + d, _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16))));
    }
  }
  static Float PackWeights(const Float (&p)[2]) {
    alignas(64) static constexpr int16_t kInterleave[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                            8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(p[1], p[0]);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(kInterleave), halves));
  }
};

}  // namespace

void RunRowTasksAvx512(const SlidingWindowAttentionParams& tensors, const RowTask* tasks, int64_t num_tasks) {
  if (tensors.type == ElementType::kFloat32) return RunTasks<Avx512<float>>(tensors, tasks, num_tasks);
  RunTasks<Avx512<BFloat16>>(tensors, tasks, num_tasks);
}

void RunRowTasksAvx512Bf16(const SlidingWindowAttentionParams& tensors, const RowTask* tasks, int64_t num_tasks) {
  RunTasks<Avx512Bf16>(tensors, tasks, num_tasks);
}

}  // namespace longspan::kernels
#endif
