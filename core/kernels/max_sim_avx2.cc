#include <immintrin.h>

#include "core/kernels/max_sim_tile.h"

namespace longspan::kernels {
namespace {

struct Avx2Sums {
  struct Sums {
    __m256i low, high;  // tokens 0-7 and 8-15 of the panel
  };
  static Sums Zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static __m256i Dot(__m256i sums, __m256i word, const void* values) {
    const __m256i signed_bytes = _mm256_load_si256(static_cast<const __m256i*>(values));
    const __m256i pairs = _mm256_maddubs_epi16(word, signed_bytes);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static Sums Dot(Sums sums, uint32_t word, const QuestionWord& values) {
    const __m256i bytes = _mm256_set1_epi32(static_cast<int>(word));
    return {Dot(sums.low, bytes, values.of[0]), Dot(sums.high, bytes, values.of[8])};
  }
  static void Raise(__m256i sums, const int32_t* offsets, float scale, float* most) {
    const __m256i centred =
        _mm256_sub_epi32(sums, _mm256_load_si256(reinterpret_cast<const __m256i*>(offsets)));
    const __m256 dots = _mm256_mul_ps(_mm256_cvtepi32_ps(centred), _mm256_set1_ps(scale));
    _mm256_store_ps(most, _mm256_max_ps(dots, _mm256_load_ps(most)));
  }
  static void Raise(Sums sums, const QuestionOffsets& offsets, float scale, float* most) {
    Raise(sums.low, offsets.of, scale, most);
    Raise(sums.high, offsets.of + 8, scale, most + 8);
  }
};

}  // namespace

// Five rows are ten sums; a broadcast, a product and the ones take three more of the registers.
void MaxSimAvx2(const MaxSimParams& params) { MaxSimTile<Avx2Sums, 5>(params).Run(); }

}  // namespace longspan::kernels
