#include "core/kernels/rope.h"

#include <omp.h>

#include <algorithm>

#include "core/kernels/useful_threads.h"

namespace longspan::kernels {

std::vector<RopeImplementation> RopeImplementations() {
  return Supported<RopeTokenFunction>({
      {"avx512", &CpuFeatures::avx512, RopeTokenAvx512},
      {"avx2", &CpuFeatures::avx2, RopeTokenAvx2},
      {"portable", nullptr, RopeTokenPortable},
  });
}

void Rope(const RopeParams& params) {
  static const auto rotate_token = RopeImplementations().front().run;
  const int64_t num_tokens = params.cu_seqlens[params.num_texts];
  const int64_t elements = num_tokens * params.num_heads * params.head_size;
  // The whole team, or one thread.
  const bool parallel = elements > 2 * kElementsWorthAThread && !omp_in_parallel();
#pragma omp parallel if (parallel)
  {
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    const int64_t begin = num_tokens * me / team, end = num_tokens * (me + 1) / team;
    // Where the text of token `begin` starts: the last border at or before it.
    const int32_t* border =
        std::upper_bound(params.cu_seqlens, params.cu_seqlens + params.num_texts, begin) - 1;
    for (int64_t token = begin; token < end; ++token) {
      while (token >= border[1]) ++border;
      rotate_token(params, token, token - *border);
    }
  }
}

}  // namespace longspan::kernels
