#include "core/kernels/layer_norm.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "core/kernels/cpu_features.h"
#include "core/kernels/quantize.h"

namespace longspan::kernels {

void LayerNorm(const LayerNormParams& params) {
  constexpr int64_t kElementsWorthAThread = 16 * 1024;
  constexpr int64_t kRowsAtOnce = 4;  // normalised, then quantised: of a base model 12 KiB
  const CpuFeatures& features = GetCpuFeatures();
  const auto rows_of = features.avx512 ? LayerNormRowsAvx512
                       : features.avx2 ? LayerNormRowsAvx2
                                       : LayerNormRowsPortable;
  const auto quantize_of = features.avx512 ? QuantizeRowsAvx512
                           : features.avx2 ? QuantizeRowsAvx2
                                           : QuantizeRowsPortable;
  const QuantizeParams quantize{.x = params.out,
                                .x_type = params.out_type,
                                .q = params.q,
                                .scales = params.q_scales,
                                .rows = params.rows,
                                .width = params.width};
  const int64_t useful_threads =
      std::max<int64_t>(1, params.rows * params.width / kElementsWorthAThread);
  const int num_threads =
      static_cast<int>(std::min<int64_t>(omp_get_max_threads(), useful_threads));
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    std::vector<float> scratch(params.width);
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    const int64_t end = params.rows * (me + 1) / team,
                  rows_at_once = params.q != nullptr ? kRowsAtOnce : params.rows;
    for (int64_t row = params.rows * me / team; row < end; row += rows_at_once) {
      const int64_t next = std::min(row + rows_at_once, end);
      rows_of(params, row, next, scratch.data());
      if (params.q != nullptr) quantize_of(quantize, row, next);
    }
  }
}

}  // namespace longspan::kernels
