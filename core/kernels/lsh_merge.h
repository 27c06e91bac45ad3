// Merges the hash rounds of one head, round by round, so that only one [rows, D] of partial results
// exists, however many rounds:
//   out_t = sum_r exp(z_r - Z) o_r,   Z = logsumexp_r(z_r) rounded to float32      (z_r, o_r of local_chunk_attention.h)
// kept as  maximum m, sum_r exp(z_r - m), sum_r exp(z_r - m) o_r  and closed with exp(m - Z). Because m and Z are close their
// difference is exact, also at -1e5, where Z is rounded to a step of 0.0078 and the weights must
// not sum to 1 either. Serial; a row may be touched by one thread at a time.
// Source: Reformer, arXiv 2001.04451, sec. 2 (multi-round LSH attention).  Proven by lsh_attention_test.
#pragma once

#include <cstdint>

namespace longspan::kernels {

struct LshMergeState {
  float* sum = nullptr;      // [rows, head_size]
  float* maximum = nullptr;  // [rows]
  float* weight = nullptr;   // [rows]
  int32_t head_size = 0;
};

// Adds the results out [count, head_size] and lse [count] to the rows begin + slots[0..count); null
// slots = 0, 1, 2, ... `first`: the first of a row's rounds.
void LshMergeRound(const LshMergeState& state, const float* out, const float* lse, int64_t begin,
                   const int32_t* slots, int32_t count, bool first);

// Turns sum of rows [begin, end) into the merged result.
void LshMergeFinish(const LshMergeState& state, int64_t begin, int64_t end);

}  // namespace longspan::kernels
