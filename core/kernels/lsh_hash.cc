#include "core/kernels/lsh_hash.h"

namespace longspan::kernels {

std::vector<LshHashImplementation> LshHashImplementations() {
  return Supported<LshHashFunction>({
      {"avx512", &CpuFeatures::avx512, LshHashAvx512},
      {"avx2", &CpuFeatures::avx2, LshHashAvx2},
      {"portable", nullptr, LshHashPortable},
  });
}

void LshHash(const LshHashParams& params) {
  static const auto run = LshHashImplementations().front().run;
  run(params);
}

}  // namespace longspan::kernels
