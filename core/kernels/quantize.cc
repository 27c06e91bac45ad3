#include "core/kernels/quantize.h"

#include <omp.h>

#include <vector>

#include "core/kernels/useful_threads.h"

namespace longspan::kernels {

std::vector<QuantizeImplementation> QuantizeImplementations() {
  return Supported<QuantizeRowsFunction>({
      {"avx512", &CpuFeatures::avx512, QuantizeRowsAvx512},
      {"avx2", &CpuFeatures::avx2, QuantizeRowsAvx2},
      {"portable", nullptr, QuantizeRowsPortable},
  });
}

std::vector<DequantizeImplementation> DequantizeImplementations() {
  return Supported<DequantizeRowsFunction>({
      {"avx512", &CpuFeatures::avx512, DequantizeRowsAvx512},
      {"portable", nullptr, DequantizeRowsPortable},
  });
}

void QuantizeRows(const QuantizeParams& params) {
  static const auto quantize_rows = QuantizeImplementations().front().run;
  const int num_threads = UsefulThreads(params.rows * params.width, kElementsWorthAThread);
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    quantize_rows(params, params.rows * me / team, params.rows * (me + 1) / team);
  }
}

void DequantizeRows(const DequantizeParams& params) {
  static const auto dequantize_rows = DequantizeImplementations().front().run;
  const int num_threads = UsefulThreads(params.rows * params.width, kElementsWorthAThread);
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    std::vector<float> scratch(params.width);
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    dequantize_rows(params, params.rows * me / team, params.rows * (me + 1) / team, scratch.data());
  }
}

}  // namespace longspan::kernels
