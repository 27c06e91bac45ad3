#include "core/kernels/layer_norm.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "core/kernels/quantize.h"
#include "core/kernels/useful_threads.h"

namespace longspan::kernels {
namespace {

// Rows that are normalised before they are quantised: 12 KiB in a base model (768 floats a row),
// which are still in the first-level cache.
constexpr int64_t kRowsBeforeQuantizing = 4;

}  // namespace

std::vector<LayerNormImplementation> LayerNormImplementations() {
  return Supported<LayerNormRowsFunction>({
      {"avx512", &CpuFeatures::avx512, LayerNormRowsAvx512},
      {"avx2", &CpuFeatures::avx2, LayerNormRowsAvx2},
      {"portable", nullptr, LayerNormRowsPortable},
  });
}

void LayerNorm(const LayerNormParams& params) {
  static const auto normalize_rows = LayerNormImplementations().front().run;
  static const auto quantize_rows = QuantizeImplementations().front().run;
  const QuantizeParams quantize{.x = params.out,
                                .x_type = params.out_type,
                                .q = params.q,
                                .scales = params.q_scales,
                                .rows = params.rows,
                                .width = params.width};
  const int num_threads = UsefulThreads(params.rows * params.width, kElementsWorthAThread);
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    std::vector<float> scratch(params.width);
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    const int64_t end = params.rows * (me + 1) / team;
    const int64_t rows_at_once = params.q != nullptr ? kRowsBeforeQuantizing : params.rows;
    for (int64_t row = params.rows * me / team; row < end; row += rows_at_once) {
      const int64_t next = std::min(row + rows_at_once, end);
      normalize_rows(params, row, next, scratch.data());
      if (params.q != nullptr) quantize_rows(quantize, row, next);
    }
  }
}

}  // namespace longspan::kernels
