#include "core/kernels/rope.h"

#include <omp.h>

#include <algorithm>

#include "core/kernels/cpu_features.h"

namespace longspan::kernels {

void Rope(const RopeParams& params) {
  constexpr int64_t kElementsWorthAThread = 16 * 1024;
  const CpuFeatures& features = GetCpuFeatures();
  const auto rotate_token = features.avx512 ? RopeTokenAvx512
                            : features.avx2 ? RopeTokenAvx2
                                            : RopeTokenPortable;
  const int64_t num_tokens = params.cu_seqlens[params.num_texts];
  const bool parallel =
      num_tokens * params.num_heads * params.head_size > 2 * kElementsWorthAThread;
#pragma omp parallel if (parallel)
  {
    const int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    const int64_t begin = num_tokens * me / team, end = num_tokens * (me + 1) / team;
    // The text of token `begin`: the last seam at or before it.
    const int32_t* seam =
        std::upper_bound(params.cu_seqlens, params.cu_seqlens + params.num_texts, begin) - 1;
    for (int64_t token = begin; token < end; ++token) {
      while (token >= seam[1]) ++seam;
      rotate_token(params, token, token - *seam);
    }
  }
}

}  // namespace longspan::kernels
