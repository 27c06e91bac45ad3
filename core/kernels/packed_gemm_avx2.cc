#include <algorithm>
#include <cstring>

#include "core/kernels/activation_impl.h"
#include "core/kernels/packed_gemm.h"
#include "core/kernels/packed_gemm_layout.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {
namespace {

using V = Vector<8>;

constexpr int kTileRows = 6;
constexpr int64_t kRowsAtOnce = 192;                     // of x, copied: 300 KiB, which stay in the L2 cache
constexpr int64_t kRowStride = kLargestGemmDepth + 16;   // of the copy
constexpr int64_t kCacheLine = 64;
constexpr int kSteps = 8;                                // of k in a turn of the innermost loop

// One tile: y[r][0..16) (+)= sum over k of x[r][k] w[k][0..16). The next piece of W is on its way meanwhile.
struct Tile {
  const float* x;     // [rows][depth], kRowStride apart
  const float* w;     // [depth][16]
  int64_t depth;
  const float* bias;  // [16] to begin the sums with, or null: they are added to what y holds
  float* y;
  int64_t y_stride;
  const float* next;  // read soon
  int64_t next_bytes;
};

void Prefetch(const void* begin, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += kCacheLine) _mm_prefetch(static_cast<const char*>(begin) + i, _MM_HINT_T1);
}

// sum += a b. As an instruction with the sum tied to its register: of the intrinsic, g++ 12 chooses forms that overwrite a factor,
// and moves sums about, some through memory (7 % of the rate).
[[gnu::always_inline]] inline void MultiplyAdd(__m256 a, __m256 b, __m256& sum) {
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}

template <int kRows>
[[gnu::always_inline]] inline void Step(const float* x, const float* w, __m256 (&low)[kRows], __m256 (&high)[kRows]) {
  const __m256 w_low = _mm256_load_ps(w), w_high = _mm256_load_ps(w + 8);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    const __m256 value = _mm256_broadcast_ss(x + r * kRowStride);
    MultiplyAdd(value, w_low, low[r]);
    MultiplyAdd(value, w_high, high[r]);
  }
}

template <int kRows>
void RunTile(const Tile& tile) {
  const float *const bias = tile.bias, *const w_end = tile.w + tile.depth * kGemmPanel;
  float* const y = tile.y;
  const int64_t y_stride = tile.y_stride;
  __m256 low[kRows], high[kRows];  // unrolled everywhere: an array that is indexed lives in memory
  const __m256 bias_low = bias ? _mm256_loadu_ps(bias) : _mm256_setzero_ps();
  const __m256 bias_high = bias ? _mm256_loadu_ps(bias + 8) : _mm256_setzero_ps();
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    low[r] = bias_low;
    high[r] = bias_high;
    _mm_prefetch(reinterpret_cast<const char*>(y + r * y_stride), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(y + r * y_stride + kGemmPanel - 1), _MM_HINT_T0);
  }
  Prefetch(tile.next, tile.next_bytes);
  const float *x = tile.x, *w = tile.w;
  for (const float* const last = w_end - (kSteps - 1) * kGemmPanel; w < last; x += kSteps, w += kSteps * kGemmPanel) {
#pragma GCC unroll 8
    for (int k = 0; k < kSteps; ++k) Step<kRows>(x + k, w + k * kGemmPanel, low, high);
  }
  for (; w < w_end; ++x, w += kGemmPanel) Step<kRows>(x, w, low, high);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    float* const row = y + r * y_stride;
    _mm256_storeu_ps(row, bias ? low[r] : _mm256_add_ps(low[r], _mm256_loadu_ps(row)));
    _mm256_storeu_ps(row + 8, bias ? high[r] : _mm256_add_ps(high[r], _mm256_loadu_ps(row + 8)));
  }
}

using TileFn = void (*)(const Tile&);
constexpr TileFn kTiles[kTileRows + 1] = {nullptr, RunTile<1>, RunTile<2>, RunTile<3>, RunTile<4>, RunTile<5>, RunTile<6>};

template <Activation kActivation>
void ActivateRows(float* y, int64_t y_stride, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r, y += y_stride) {
    for (int64_t i = 0; i < kGemmPanel; i += 8)
      V::Store(y + i, Activations<V>::Activate<kActivation>(V::Load(y + i)));
  }
}

// Of a tile that was just stored, and still lies in the L1 cache.
void Activate(Activation activation, float* y, int64_t y_stride, int64_t rows) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kGelu:
      return ActivateRows<Activation::kGelu>(y, y_stride, rows);
    case Activation::kGeluTanh:
      return ActivateRows<Activation::kGeluTanh>(y, y_stride, rows);
    case Activation::kRelu:
      return ActivateRows<Activation::kRelu>(y, y_stride, rows);
    case Activation::kSilu:
      return ActivateRows<Activation::kSilu>(y, y_stride, rows);
    case Activation::kTanh:
      return ActivateRows<Activation::kTanh>(y, y_stride, rows);
  }
}

// Rows of x against one depth of W.
struct Block {
  const float* x = nullptr;  // the copy
  int64_t first_row = 0, rows = 0;
  int64_t depth = 0;
  bool is_first = false, is_last = false;  // depth
};

// The columns of one panel. A panel that is cut off by the end of y is computed aside.
void RunPanel(const PackedGemmParams& p, const Block& block, int64_t panel, const float* w, bool has_next) {
  const int64_t tiles = (block.rows + kTileRows - 1) / kTileRows, columns = std::min(kGemmPanel, p.n - panel * kGemmPanel);
  alignas(32) float bias[kGemmPanel] = {}, aside[kTileRows * kGemmPanel] = {};
  if (p.bias != nullptr) std::memcpy(bias, p.bias + panel * kGemmPanel, columns * sizeof(float));
  const int64_t w_bytes = block.depth * kGemmPanel * static_cast<int64_t>(sizeof(float));
  const int64_t share = (w_bytes / tiles + kCacheLine - 1) / kCacheLine * kCacheLine;
  for (int64_t t = 0, row = 0; t < tiles; ++t) {
    const int64_t end = block.rows * (t + 1) / tiles, rows = end - row;
    float* const y = p.y + (block.first_row + row) * p.n + panel * kGemmPanel;
    const bool whole = columns == kGemmPanel;
    float* const to = whole ? y : aside;
    const int64_t stride = whole ? p.n : kGemmPanel;
    if (!whole && !block.is_first) {
      for (int64_t r = 0; r < rows; ++r) std::memcpy(aside + r * kGemmPanel, y + r * p.n, columns * sizeof(float));
    }
    kTiles[rows]({.x = block.x + row * kRowStride,
                  .w = w,
                  .depth = block.depth,
                  .bias = block.is_first ? bias : nullptr,
                  .y = to,
                  .y_stride = stride,
                  .next = w + block.depth * kGemmPanel + t * share / static_cast<int64_t>(sizeof(float)),
                  .next_bytes = has_next ? std::min(share, w_bytes - t * share) : 0});
    if (block.is_last) Activate(p.activation, to, stride, rows);
    if (!whole) {
      for (int64_t r = 0; r < rows; ++r) std::memcpy(y + r * p.n, aside + r * kGemmPanel, columns * sizeof(float));
    }
    row = end;
  }
}

}  // namespace

void PackedGemmAvx2(const PackedGemmParams& p, const GemmPart& part) {
  thread_local Scratch scratch;
  float* const x = scratch.Floats(kRowsAtOnce * kRowStride);
  const int64_t depth = GemmDepth(p.k), panels = NumGemmPanels(p.n), rows = part.end_row - part.first_row;
  const int64_t blocks = (rows + kRowsAtOnce - 1) / kRowsAtOnce;
  for (int64_t b = 0; b < blocks; ++b) {
    Block block;
    block.x = x;
    block.first_row = part.first_row + rows * b / blocks;
    block.rows = part.first_row + rows * (b + 1) / blocks - block.first_row;
    for (int64_t k = 0; k < p.k; k += depth) {
      block.depth = std::min(depth, p.k - k);
      block.is_first = k == 0;
      block.is_last = k + depth >= p.k;
      for (int64_t r = 0; r < block.rows; ++r)
        std::memcpy(x + r * kRowStride, p.x + (block.first_row + r) * p.x_stride + k, block.depth * sizeof(float));
      const float* const w = p.packed + k * panels * kGemmPanel;
      for (int64_t panel = part.first_panel; panel < part.end_panel; ++panel)
        RunPanel(p, block, panel, w + panel * block.depth * kGemmPanel, panel + 1 < part.end_panel);
    }
  }
}

}  // namespace longspan::kernels
