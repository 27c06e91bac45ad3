#include "core/kernels/packed_gemm.h"

#include <omp.h>

#include <algorithm>

#include "core/kernels/cpu_features.h"
#include "core/kernels/packed_gemm_layout.h"

namespace longspan::kernels {
namespace {

constexpr int64_t kProductsWorthAThread = 1 << 19;   // 10 microseconds
constexpr int64_t kFewestRowsOfAThread = 128;        // below, threads share the panels: each piece of W is then read by one

}  // namespace

bool PackedGemmIsFastest() { return GetCpuFeatures().avx2 && !GetCpuFeatures().avx512; }

int64_t PackedGemmFloats(int64_t n, int64_t k) { return NumGemmPanels(n) * kGemmPanel * k; }

void PackGemmWeight(const float* w, int64_t n, int64_t k, float* packed) {
  const int64_t depth = GemmDepth(k);
  for (int64_t begin = 0; begin < k; begin += depth) {
    const int64_t end = std::min(begin + depth, k);
    for (int64_t column = 0; column < n; column += kGemmPanel) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t c = column; c < column + kGemmPanel; ++c) *packed++ = c < n ? w[c * k + i] : 0.0f;
      }
    }
  }
}

void PackedGemm(const PackedGemmParams& params) {
  const int64_t panels = NumGemmPanels(params.n);
  const int64_t useful_threads = std::max<int64_t>(1, params.rows * params.n * params.k / kProductsWorthAThread);
  const int num_threads = static_cast<int>(std::min<int64_t>(omp_get_max_threads(), useful_threads));
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    if (params.rows >= kFewestRowsOfAThread * team)
      PackedGemmAvx2(params, {params.rows * me / team, params.rows * (me + 1) / team, 0, panels});
    else
      PackedGemmAvx2(params, {0, params.rows, panels * me / team, panels * (me + 1) / team});
  }
}

}  // namespace longspan::kernels
