// Stable sort of the slots of one hash round by bucket: tokens grouped by bucket, each group in
// text order.
//   buckets [3 0 3 1]  ->  slots [1 3 0 2]        (bucket 0: token 1; bucket 1: token 3; bucket 3: tokens 0, 2)
// Radix sort, 11 bits a pass, lowest first: one pass up to 2048 buckets, two up to 4 million;
// counters stay in the L1 cache
// however many buckets there are. Cost O(n), scratch O(n).  Serial. Source: Reformer, arXiv 2001.04451, sec. 2 ("sort by bucket,
// then by position").  Proven by lsh_sort_test.
#pragma once

#include <cstdint>

namespace longspan::kernels {

// buckets : [n] in [0, num_buckets)     slots : [n], receives the positions in sorted order; may not alias
void LshSort(const int32_t* buckets, int32_t n, int32_t num_buckets, int32_t* slots);

}  // namespace longspan::kernels
