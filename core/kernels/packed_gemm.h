// A linear layer in float32 on weights packed once, for processors that have AVX2 and no AVX-512:
//
//   y = activation(x W^T + bias)     x : [M, K]    W : [N, K]    y : [M, N], may not alias
//
// There oneDNN has no packed form: it runs its general GEMM, which packs the weights again in every call and applies the
// activation in a second pass over y.
//
// W is cut into panels of 16 columns of y and each panel into depths of 384 at most, so that a piece (24 KiB) stays in the L1
// cache while all rows of x pass it, six at a time: 6 x 16 sums are twelve registers, and each step of k multiplies two loads of W
// with six broadcasts of x.
//
//   packed : for each depth, for each panel : [depth][16]          x : copied by depth, 192 rows at once, to rows 400 floats apart
//                                                                  (rows a multiple of 4 KiB apart would share few cache sets)
//   M = 14: tiles of 5, 5 and 4 rows, not 6, 6 and 2: below 4 rows the multiply units wait for their own results.
//
// A row's result does not depend on the other rows: every tile adds in the same order. Source of the scheme: Goto and van de Geijn,
// Anatomy of high-performance matrix multiplication, ACM TOMS 34(3), 2008. Proven by packed_gemm_test.
#pragma once

#include <cstdint>

#include "core/kernels/activation.h"

namespace longspan::kernels {

constexpr int64_t kGemmPanel = 16;  // columns of y in a panel

struct PackedGemmParams {
  const float* x = nullptr;       // [M, K]
  int64_t x_stride = 0;           // floats from row to row, at least K
  const float* packed = nullptr;  // of PackGemmWeight, 32-byte aligned
  const float* bias = nullptr;    // [N] or null
  Activation activation = Activation::kNone;
  float* y = nullptr;  // [M, N], rows side by side
  int64_t rows = 0;    // M
  int64_t k = 0;
  int64_t n = 0;
};

// Whether this processor is one for which PackedGemm is the fastest form; elsewhere it must not be called.
bool PackedGemmIsFastest();

// Floats that PackGemmWeight writes: N rounded up to whole panels, times K.
int64_t PackedGemmFloats(int64_t n, int64_t k);
// w [N, K], rows side by side.
void PackGemmWeight(const float* w, int64_t n, int64_t k, float* packed);

// Rows or panels are shared among the OpenMP team.
void PackedGemm(const PackedGemmParams& params);

// Part of y on the calling thread, which must have AVX2.
struct GemmPart {
  int64_t first_row = 0, end_row = 0;
  int64_t first_panel = 0, end_panel = 0;
};
void PackedGemmAvx2(const PackedGemmParams& params, const GemmPart& part);

}  // namespace longspan::kernels
