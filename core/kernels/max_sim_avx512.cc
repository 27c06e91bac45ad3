#include "core/kernels/max_sim_tile.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {
namespace {

struct Avx512Sums {
  using Sums = __m512i;
  static Sums Zero() { return _mm512_setzero_si512(); }
  static Sums Dot(Sums sums, uint32_t word, const QuestionWord& values) {
    return DotBytes(sums, _mm512_set1_epi32(static_cast<int>(word)), _mm512_load_si512(&values));
  }
  static void Raise(Sums sums, const QuestionOffsets& offsets, float scale, float* most) {
    const auto centred = (__m512i)((__v16si)sums - (__v16si)_mm512_load_si512(&offsets));
    auto& largest = *reinterpret_cast<__m512*>(most);
    largest = _mm512_max_ps(_mm512_cvtepi32_ps(centred) * _mm512_set1_ps(scale), largest);
  }
};

}  // namespace

// Twelve sums are in flight, because VPDPBUSD takes five cycles and two begin in each.
void MaxSimAvx512(const MaxSimParams& params) { MaxSimTile<Avx512Sums, 12>(params).Run(); }

}  // namespace longspan::kernels
