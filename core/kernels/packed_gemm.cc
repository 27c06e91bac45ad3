#include "core/kernels/packed_gemm.h"

#include <omp.h>

#include <algorithm>

#include "core/kernels/packed_gemm_layout.h"
#include "core/kernels/useful_threads.h"

namespace longspan::kernels {
namespace {

// About 10 microseconds of work.
constexpr int64_t kProductsWorthAThread = 1 << 19;
// With fewer rows a thread, threads share the panels instead: each piece of W is then read by one
// thread.
constexpr int64_t kFewestRowsOfAThread = 128;

// Calls write(column, k) in the order in which the tiles read: by depth, then panel, then word,
// then column, and at last the `per_word` values of a word.
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

// Calls run_part(params, GemmPart) on each of as many threads as the product keeps busy.
template <class Params, class RunPart>
void ShareAmongTeam(const Params& params, const RunPart& run_part) {
  const int64_t panels = NumGemmPanels(params.n);
  const int num_threads = UsefulThreads(params.rows * params.n * params.k, kProductsWorthAThread);
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

std::vector<PackedGemmImplementation> PackedGemmImplementations() {
  return Supported<PackedGemmFunction>({{"avx2", &CpuFeatures::avx2, PackedGemmAvx2}});
}

std::vector<PackedInt8GemmImplementation> PackedInt8GemmImplementations() {
  return Supported<PackedInt8GemmFunction>({{"avx2", &CpuFeatures::avx2, PackedInt8GemmAvx2}});
}

void PackedGemm(const PackedGemmParams& params) {
  static const auto run_part = PackedGemmImplementations().front().run;
  ShareAmongTeam(params, run_part);
}

void PackedInt8Gemm(const PackedInt8GemmParams& params) {
  static const auto run_part = PackedInt8GemmImplementations().front().run;
  ShareAmongTeam(params, run_part);
}

}  // namespace longspan::kernels
