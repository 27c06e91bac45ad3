#include "core/kernels/rope_tile.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {

void RopeTokenAvx512(const RopeParams& params, int64_t token, int64_t position) {
  TokenRotator<Avx512Elements>::Run(params, token, position);
}

}  // namespace longspan::kernels
