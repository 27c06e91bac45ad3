#include "core/kernels/packed_gemm.h"

#include <omp.h>

#include <algorithm>

#include "core/kernels/cpu_features.h"
#include "core/kernels/packed_gemm_layout.h"

namespace longspan::kernels {
namespace {

constexpr int64_t kProductsWorthAThread = 1 << 19;  // 10 microseconds
constexpr int64_t kFewestRowsOfAThread =
    128;  // below, threads share the panels: each piece of W is then read by one

// write(column, k) in the order in which the tiles read: by depth, panel, word, column, and the
// `per_word` values of a word.
template <class Write>
void ForEachPacked(int64_t n, int64_t words, int64_t per_word, const Write& write) {
  const int64_t depth = GemmDepth(words);
  for (int64_t begin = 0; begin < words; begin += depth) {
    for (int64_t column = 0; column < n; column += kGemmPanel) {
      for (int64_t word = begin; word < std::min(begin + depth, words); ++word) {
        for (int64_t c = column; c < column + kGemmPanel; ++c) {
          for (int64_t i = 0; i < per_word; ++i) write(c, word * per_word + i);
        }
      }
    }
  }
}

// run_part(params, GemmPart) on each thread of a team that the product is worth.
template <class Params, class RunPart>
void ShareAmongTeam(const Params& params, const RunPart& run_part) {
  const int64_t panels = NumGemmPanels(params.n);
  const int64_t useful_threads =
      std::max<int64_t>(1, params.rows * params.n * params.k / kProductsWorthAThread);
  const int num_threads =
      static_cast<int>(std::min<int64_t>(omp_get_max_threads(), useful_threads));
#pragma omp parallel num_threads(num_threads) if (num_threads > 1)
  {
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    if (params.rows >= kFewestRowsOfAThread * team)
      run_part(params, GemmPart{params.rows * me / team, params.rows * (me + 1) / team, 0, panels});
    else
      run_part(params, GemmPart{0, params.rows, panels * me / team, panels * (me + 1) / team});
  }
}

}  // namespace

bool PackedGemmIsFastest() { return GetCpuFeatures().avx2 && !GetCpuFeatures().avx512; }

int64_t PackedGemmFloats(int64_t n, int64_t k) { return NumGemmPanels(n) * kGemmPanel * k; }

int64_t PackedInt8GemmBytes(int64_t n, int64_t k) {
  return NumGemmPanels(n) * kGemmPanel * NumInt8Words(k) * kInt8PerWord;
}

void PackGemmWeight(const float* w, int64_t n, int64_t k, float* packed) {
  ForEachPacked(n, k, 1, [&](int64_t column, int64_t i) {
    *packed++ = column < n ? w[column * k + i] : 0.0f;
  });
}

void PackInt8GemmWeight(const int8_t* w, int64_t n, int64_t k, int8_t* packed) {
  ForEachPacked(n, NumInt8Words(k), kInt8PerWord, [&](int64_t column, int64_t i) {
    *packed++ = column < n && i < k ? w[column * k + i] : int8_t{0};
  });
}

void PackedGemm(const PackedGemmParams& params) { ShareAmongTeam(params, PackedGemmAvx2); }

void PackedInt8Gemm(const PackedInt8GemmParams& params) {
  ShareAmongTeam(params, PackedInt8GemmAvx2);
}

}  // namespace longspan::kernels
