#include "core/kernels/quantize_tile.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {
namespace {

struct ByteElements : Avx512Elements {
  static void StoreBytes(uint8_t* q, int64_t count, __m512 v) {
    const __m512i shifted = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(128));
    const __m512i from_zero = _mm512_max_epi32(shifted, _mm512_setzero_si512());
    _mm_mask_storeu_epi8(q, LaneMask(count, 0), _mm512_cvtusepi32_epi8(from_zero));
  }
};

}  // namespace

void QuantizeRowsAvx512(const QuantizeParams& params, int64_t begin, int64_t end) {
  RowQuantizer<ByteElements>::Quantize(params, begin, end);
}
void DequantizeRowsAvx512(const DequantizeParams& params, int64_t begin, int64_t end,
                          float* scratch) {
  RowQuantizer<ByteElements>::Dequantize(params, begin, end, scratch);
}

}  // namespace longspan::kernels
