// Where PackGemmWeight puts what the tiles of PackedGemm read. The functions have internal linkage,
// because files that include this are compiled for different instruction sets and must not share
// one copy.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/kernels/packed_gemm.h"

namespace longspan::kernels {

// Words. A piece of a panel, 384 words of 16 columns, is 24 KiB and stays in the first-level cache.
constexpr int64_t kLargestGemmDepth = 384;
constexpr int64_t kInt8PerWord = 4;  // a word is 32 bits

static inline int64_t NumInt8Words(int64_t k) { return (k + kInt8PerWord - 1) / kInt8PerWord; }

// The words of a row of W are cut into depths of the same size, a multiple of 8; the last depth may
// be smaller.
static inline int64_t GemmDepth(int64_t words) {
  const int64_t pieces = std::max<int64_t>(1, (words + kLargestGemmDepth - 1) / kLargestGemmDepth);
  return ((words + pieces - 1) / pieces + 7) / 8 * 8;
}

static inline int64_t NumGemmPanels(int64_t n) { return (n + kGemmPanel - 1) / kGemmPanel; }

}  // namespace longspan::kernels
