#include "core/kernels/lsh_hash.h"

#include "core/kernels/cpu_features.h"

namespace longspan::kernels {

void LshHash(const LshHashParams& params) {
#if defined(__x86_64__)
  if (GetCpuFeatures().avx512) return LshHashAvx512(params);
  if (GetCpuFeatures().avx2) return LshHashAvx2(params);
#endif
  LshHashPortable(params);
}

}  // namespace longspan::kernels
