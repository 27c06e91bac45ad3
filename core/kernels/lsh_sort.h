// Stable sort of the slots of one hash round by bucket: tokens are grouped by bucket, and each
// group stays in text order.
//   buckets [3 0 3 1]  ->  slots [1 3 0 2]
//   (bucket 0 holds token 1, bucket 1 holds token 3, bucket 3 holds tokens 0 and 2)
// A radix sort of 11 bits per pass, the lowest first: one pass for up to 2048 buckets, two for up
// to 4 million. Its 2048 counters stay in the L1 cache however many buckets there are. Runs on the
// calling thread. Cost O(n), scratch O(n). Source: Reformer, arXiv 2001.04451, sec. 2 ("sort by
// bucket, then by position"). Proven by lsh_sort_test.
#pragma once

#include <cstdint>

namespace longspan::kernels {

// buckets : [n], each in [0, num_buckets)
// slots   : [n], receives the positions in sorted order; may not alias buckets
void LshSort(const int32_t* buckets, int32_t n, int32_t num_buckets, int32_t* slots);

}  // namespace longspan::kernels
