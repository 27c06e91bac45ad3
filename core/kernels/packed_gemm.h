// Linear layers in float32 and int8 on weights that are packed once, for processors that have AVX2
// and no AVX-512.
//
//   x : [M, K]    W : [N, K]    y : [M, N], may not alias
//   float32:  y = activation(x W^T + bias)
//   int8:     y = activation(x_scales (x W^T + offsets) w_scales + bias), with u8 rows of x and s8
//             weights, summed exactly in 32 bits
//
// On such processors oneDNN has no packed form of float32: it runs its general GEMM, which packs
// the weights again in every call. In either type it applies what follows the product in a second
// pass over y.
//
// W is cut into panels of 16 columns of y, and each panel into depths of 384 words at most. A word
// is one float32 or four int8. Such a piece of W is 24 KiB and stays in the L1 cache while all rows
// of x pass it, six at a time: 6 x 16 sums are twelve registers, and each step multiplies two loads
// of W with six broadcasts of x.
//
//   packed : for each depth, for each panel: [depth][16] words
//   x      : copied by depth, 192 rows at once (300 KiB, which stay in the L2 cache), to rows 400
//            words apart. At multiples of 4 KiB they would share few sets of the cache.
//   M = 14 : tiles of 5, 5 and 4 rows, not of 6, 6 and 2, because below 4 rows the multiply units
//            wait for their own results.
//
// A row's result does not depend on the other rows: every tile adds in the same order. In int8,
// VPMADDUBSW adds two products of u8 and s8 in 16 bits and saturates, so weights must lie in
// -63..63 (NarrowWeight of core/layers/quantized_linear.h makes them so).
//   Cost O(M·N·K); scratch is the copy of x, 300 KiB per thread.
// Source of the scheme: Goto and van de Geijn, Anatomy of high-performance matrix multiplication,
// ACM TOMS 34(3), 2008. Proven by packed_gemm_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/activation.h"
#include "core/kernels/implementation.h"

namespace longspan::kernels {

constexpr int64_t kGemmPanel = 16;  // columns of y in a panel

struct PackedGemmParams {
  const float* x = nullptr;       // [M, K]
  int64_t x_stride = 0;           // floats from row to row, at least K
  const float* packed = nullptr;  // what PackGemmWeight wrote, 32-byte aligned
  const float* bias = nullptr;    // [N] or null
  Activation activation = Activation::kNone;
  float* y = nullptr;  // [M, N], rows side by side
  int64_t rows = 0;    // M
  int64_t k = 0;       // K
  int64_t n = 0;       // N
};

struct PackedInt8GemmParams {
  const uint8_t* x = nullptr;       // [M, K] u8, rows side by side
  const float* x_scales = nullptr;  // [M]
  const int8_t* packed = nullptr;   // what PackInt8GemmWeight wrote, 32-byte aligned
  // [N]: what takes the zero point of x away, -128 * sum_k w_nk.
  const int32_t* offsets = nullptr;
  const float* w_scales = nullptr;  // [N]
  const float* bias = nullptr;      // [N] or null
  Activation activation = Activation::kNone;
  float* y = nullptr;  // [M, N], rows side by side
  int64_t rows = 0;    // M
  int64_t k = 0;       // K
  int64_t n = 0;       // N
};

// Whether these products are faster on this processor than oneDNN's. Layers ask it once, when they
// pack their weights for the one or for the other. Where it is false, PackedGemm and PackedInt8Gemm
// must not be called.
bool PackedGemmIsFastest();

// The number of floats that PackGemmWeight writes: N rounded up to whole panels, times K.
int64_t PackedGemmFloats(int64_t n, int64_t k);
// Packs w [N, K], rows side by side.
void PackGemmWeight(const float* w, int64_t n, int64_t k, float* packed);
// The same for int8, in bytes, with K rounded up to whole words.
int64_t PackedInt8GemmBytes(int64_t n, int64_t k);
void PackInt8GemmWeight(const int8_t* w, int64_t n, int64_t k, int8_t* packed);

// Rows or panels are shared among the OpenMP team.
void PackedGemm(const PackedGemmParams& params);
void PackedInt8Gemm(const PackedInt8GemmParams& params);

// A part of y: the rows [first_row, end_row) of the panels [first_panel, end_panel).
struct GemmPart {
  int64_t first_row = 0;
  int64_t end_row = 0;
  int64_t first_panel = 0;
  int64_t end_panel = 0;
};
// One part, on the calling thread.
void PackedGemmAvx2(const PackedGemmParams& params, const GemmPart& part);
void PackedInt8GemmAvx2(const PackedInt8GemmParams& params, const GemmPart& part);

using PackedGemmFunction = void(const PackedGemmParams& params, const GemmPart& part);
using PackedInt8GemmFunction = void(const PackedInt8GemmParams& params, const GemmPart& part);
using PackedGemmImplementation = Implementation<PackedGemmFunction>;
using PackedInt8GemmImplementation = Implementation<PackedInt8GemmFunction>;
// The implementations that this processor runs, the preferred first; none without AVX2. PackedGemm
// and PackedInt8Gemm use the first.
std::vector<PackedGemmImplementation> PackedGemmImplementations();
std::vector<PackedInt8GemmImplementation> PackedInt8GemmImplementations();

}  // namespace longspan::kernels
