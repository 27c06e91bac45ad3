// The attention of a block of rows to a block of keys, which PortableBackend's operations share.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

#include "core/backend/backend.h"

namespace longspan {

// Scores of all heads that exist at once: 128 MiB of float32.
inline constexpr int64_t kMostScores = int64_t{1} << 25;

// The rows whose scores with so many keys exist at once, at least one.
inline int64_t RowsOfScores(int64_t num_heads, int64_t num_keys) {
  return std::max<int64_t>(1, kMostScores / std::max<int64_t>(1, num_heads * num_keys));
}

// q [m, H, D], k and v [n, H, D], n >= 1. hidden [m, n] bool, true = the row does not see the key;
// undefined = it sees all. read [n] bool, whether a key is read; undefined = all are. Out is
// float32; the logsumexp of a row without keys is -inf.
AttentionPart Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& hidden, const at::Tensor& read, double scale);

}  // namespace longspan
