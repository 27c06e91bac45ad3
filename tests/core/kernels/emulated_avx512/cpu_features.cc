// Takes the place of core/kernels/cpu_features.cc in the emulated tests: AVX-512 counts as present
// wherever its emulation runs.
#include "core/kernels/cpu_features.h"

namespace longspan::kernels {

const CpuFeatures& GetCpuFeatures() {
  static const CpuFeatures features = [] {
    CpuFeatures found;
    found.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    found.avx512 = found.avx512_bf16 = found.avx512_vnni = found.avx2;
    return found;
  }();
  return features;
}

}  // namespace longspan::kernels
