#include "core/kernels/layer_norm.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "core/kernels/cpu_features.h"

namespace longspan::kernels {

void LayerNorm(const LayerNormParams& params) {
  constexpr int64_t kElementsWorthAThread = 16 * 1024;
  const CpuFeatures& features = GetCpuFeatures();
  const auto rows_of = features.avx512 ? LayerNormRowsAvx512 : features.avx2 ? LayerNormRowsAvx2 : LayerNormRowsPortable;
  const int64_t useful_threads = std::max<int64_t>(1, params.rows * params.width / kElementsWorthAThread);
  const int num_threads = static_cast<int>(std::min<int64_t>(omp_get_max_threads(), useful_threads));
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    std::vector<float> scratch(params.width);
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    rows_of(params, params.rows * me / team, params.rows * (me + 1) / team, scratch.data());
  }
}

}  // namespace longspan::kernels
