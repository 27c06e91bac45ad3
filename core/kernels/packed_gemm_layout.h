// Where PackGemmWeight puts what the tiles of PackedGemm read.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/kernels/packed_gemm.h"

namespace longspan::kernels {

constexpr int64_t kLargestGemmDepth = 384;
constexpr int64_t kInt8PerWord = 4;

inline int64_t NumInt8Words(int64_t k) { return (k + kInt8PerWord - 1) / kInt8PerWord; }

// K words are cut into depths of the same size, a multiple of 8; the last may be smaller.
inline int64_t GemmDepth(int64_t words) {
  const int64_t pieces = std::max<int64_t>(1, (words + kLargestGemmDepth - 1) / kLargestGemmDepth);
  return ((words + pieces - 1) / pieces + 7) / 8 * 8;
}

inline int64_t NumGemmPanels(int64_t n) { return (n + kGemmPanel - 1) / kGemmPanel; }

}  // namespace longspan::kernels
