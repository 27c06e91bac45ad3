// Angular locality-sensitive hashing: the bucket of a vector is the direction of a random rotation
// that it points along most.
//   y = x R  ([D] times [D, f/2])
//   bucket = argmax over the f values [y, -y]; the first maximum wins
//   example, f = 4: y = (0.3, -0.9) gives the values (0.3, -0.9, -0.3, 0.9): bucket 3
// Vectors that are close point along the same direction and share a bucket with high probability.
//
// Factors f0, f1, ... hash several times with fewer columns: bucket = a0 + f0 a1 + f0 f1 a2 + ...
// takes sum f_i / 2 columns per round instead of prod f_i / 2. Tokens that are not read get the
// bucket prod f_i, which lies behind all others.
//
// Hashing is always float32: with bfloat16 inputs about one token in a hundred changes its bucket.
// Runs on the calling thread. Cost O(rows · D · columns), scratch O(columns) per thread. Source:
// Reformer, arXiv 2001.04451, sec. 2 (after Andoni et al. 2015). Proven by lsh_hash_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/implementation.h"

namespace longspan::kernels {

struct LshHashParams {
  const float* x = nullptr;  // [rows, head_size]: row r at x + r * x_stride
  int64_t x_stride = 0;      // floats
  int32_t rows = 0;
  int32_t head_size = 0;  // D
  // [head_size, columns] with columns = num_hashes * sum(f_i / 2), round by round and in each round
  // factor by factor.
  const float* rotations = nullptr;
  // Floats from row to row of `rotations`: at least the columns rounded up to 32, because whole
  // vectors are read. What lies behind the columns is ignored.
  int64_t rotation_stride = 0;
  int32_t num_hashes = 1;
  const int32_t* factors = nullptr;  // [num_factors], each even and at least 2
  int32_t num_factors = 0;
  const uint8_t* key_mask = nullptr;  // [rows]: 0 = not read; null = all are read
  int32_t* buckets = nullptr;         // round h of row r at buckets + h * bucket_stride + r
  int64_t bucket_stride = 0;
};

void LshHash(const LshHashParams& params);

void LshHashPortable(const LshHashParams& params);
void LshHashAvx2(const LshHashParams& params);
void LshHashAvx512(const LshHashParams& params);

using LshHashFunction = void(const LshHashParams&);
using LshHashImplementation = Implementation<LshHashFunction>;
// The implementations that this processor runs, the preferred first. LshHash uses the first.
std::vector<LshHashImplementation> LshHashImplementations();

}  // namespace longspan::kernels
