#include "core/kernels/cpu_features.h"

namespace longspan::kernels {

const CpuFeatures& GetCpuFeatures() {
  static const CpuFeatures features = [] {
    CpuFeatures found;
#if defined(__x86_64__)
    found.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    found.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("fma");
    found.avx512_bf16 = found.avx512 && __builtin_cpu_supports("avx512bf16");
    found.avx512_vnni = found.avx512 && __builtin_cpu_supports("avx512vnni");
    found.bfloat16_rows = found.avx512_bf16;
    found.slow_vdpbf16ps = __builtin_cpu_is("intel");
#endif
    return found;
  }();
  return features;
}

}  // namespace longspan::kernels
