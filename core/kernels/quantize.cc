#include "core/kernels/quantize.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "core/kernels/cpu_features.h"

namespace longspan::kernels {
namespace {

// Threads worth starting for this much work.
int UsefulThreads(int64_t elements) {
  constexpr int64_t kElementsWorthAThread = 16 * 1024;
  return static_cast<int>(
      std::clamp<int64_t>(elements / kElementsWorthAThread, 1, omp_get_max_threads()));
}

}  // namespace

void QuantizeRows(const QuantizeParams& params) {
  const CpuFeatures& features = GetCpuFeatures();
  const auto rows_of = features.avx512 ? QuantizeRowsAvx512
                       : features.avx2 ? QuantizeRowsAvx2
                                       : QuantizeRowsPortable;
  const int num_threads = UsefulThreads(params.rows * params.width);
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    rows_of(params, params.rows * me / team, params.rows * (me + 1) / team);
  }
}

void DequantizeRows(const DequantizeParams& params) {
  const auto rows_of = GetCpuFeatures().avx512 ? DequantizeRowsAvx512 : DequantizeRowsPortable;
  const int num_threads = UsefulThreads(params.rows * params.width);
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    std::vector<float> scratch(params.width);
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    rows_of(params, params.rows * me / team, params.rows * (me + 1) / team, scratch.data());
  }
}

}  // namespace longspan::kernels
