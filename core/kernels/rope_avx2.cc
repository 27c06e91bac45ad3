#include "core/kernels/rope_tile.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {

void RopeTokenAvx2(const RopeParams& params, int64_t token, int64_t position) {
  TokenRotator<Avx2Elements>::Run(params, token, position);
}

}  // namespace longspan::kernels
