// Merges the hash rounds of one head, one round after the other, so that only one [rows, D] of
// partial results exists, however many rounds there are. With z_r and o_r the lse and the out of
// round r (local_chunk_attention.h):
//   out_t = sum_r exp(z_r - Z) o_r      Z = logsumexp_r(z_r), rounded to float32
// Kept between the rounds are the maximum m of z_r, sum_r exp(z_r - m) and sum_r exp(z_r - m) o_r;
// at the end the sum is multiplied by exp(m - Z).
//
// That Z is rounded is part of the rule. At -1e5 it is rounded to a step of 0.0078, so the weights
// of rounds in which a token sees nothing but itself do not sum to 1, and must not. m and Z are
// close, so their difference is exact.
//
// Runs on the calling thread; a row may be touched by one thread at a time. Cost O(rows · D) per
// round, no scratch. Source: Reformer, arXiv 2001.04451, sec. 2 (multi-round LSH attention). Proven
// by lsh_attention_test.
#pragma once

#include <cstdint>

namespace longspan::kernels {

struct LshMergeState {
  float* sum = nullptr;      // [rows, head_size]: sum_r exp(z_r - m) o_r
  float* maximum = nullptr;  // [rows]: m
  float* weight = nullptr;   // [rows]: sum_r exp(z_r - m)
  int32_t head_size = 0;     // D
};

// Adds the results out [count, head_size] and lse [count] to the rows begin + slots[0..count), in
// that order; null slots are 0, 1, 2, ... `first` says that these rows have no earlier round: what
// the state held for them is overwritten.
void LshMergeRound(const LshMergeState& state, const float* out, const float* lse, int64_t begin,
                   const int32_t* slots, int32_t count, bool first);

// Turns state.sum of the rows [begin, end) into the merged result.
void LshMergeFinish(const LshMergeState& state, int64_t begin, int64_t end);

}  // namespace longspan::kernels
