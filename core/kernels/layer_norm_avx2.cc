#include "core/kernels/layer_norm_tile.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {

void LayerNormRowsAvx2(const LayerNormParams& params, int64_t begin, int64_t end, float* scratch) {
  RowNormalizer<Avx2Elements>::Run(params, begin, end, scratch);
}

}  // namespace longspan::kernels
