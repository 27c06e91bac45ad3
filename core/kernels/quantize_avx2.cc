#include "core/kernels/quantize_tile.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {
namespace {

struct ByteElements : Avx2Elements {
  static void StoreBytes(uint8_t* q, int64_t count, __m256 v) {
    const __m256i shifted = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(128));
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(shifted), _mm256_extracti128_si256(shifted, 1));
    const __m128i bytes = _mm_packus_epi16(words, words);  // clamps to 0..255
    if (count >= kLanes) return _mm_storel_epi64(reinterpret_cast<__m128i*>(q), bytes);
    alignas(16) uint8_t some[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(some), bytes);
    for (int64_t k = 0; k < count; ++k) q[k] = some[k];
  }
};

}  // namespace

void QuantizeRowsAvx2(const QuantizeParams& params, int64_t begin, int64_t end) {
  RowQuantizer<ByteElements>::Quantize(params, begin, end);
}

}  // namespace longspan::kernels
