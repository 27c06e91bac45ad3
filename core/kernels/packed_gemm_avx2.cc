// The tiles of PackedGemm for AVX2 and FMA: 6 x 16 sums in twelve of the sixteen registers. The
// scheme is described in packed_gemm.h.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/kernels/activation_tile.h"
#include "core/kernels/packed_gemm.h"
#include "core/kernels/packed_gemm_layout.h"
#include "core/kernels/scratch.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {
namespace {

using V = Vector<8>;

constexpr int kTileRows = 6;
constexpr int64_t kCopiedRows = 192;  // of x: 300 KiB, which stay in the L2 cache
// Words from row to row of the copy. A stride of 384 words or more that is a multiple of 4 KiB
// would put many rows into the same sets of the cache.
constexpr int64_t kRowStride = kLargestGemmDepth + 16;
constexpr int64_t kCacheLine = 64;  // bytes
constexpr int kSteps = 8;           // steps of k in a turn of the innermost loop
constexpr int64_t kWordBytes = sizeof(float);

// A product in words of 32 bits, which are a float32 or four int8. Words pass through as floats,
// whatever they mean.
struct Gemm {
  const char* x = nullptr;  // rows of x_bytes bytes, x_stride bytes apart
  int64_t x_stride = 0;
  int64_t x_bytes = 0;
  const float* w = nullptr;      // packed
  const float* start = nullptr;  // [N] what sums begin with; null = zeros
  int64_t words = 0;             // in a row of x
  int64_t n = 0;                 // columns of y
  // [rows, n]. Until the last depth is added it holds sums in the arithmetic's own type.
  float* y = nullptr;

  // What follows the product; scales and bias for int8 only.
  Activation activation = Activation::kNone;
  const float* x_scales = nullptr;
  const float* w_scales = nullptr;
  const float* bias = nullptr;
};

// The two arithmetics: sum += a w. They are written as instructions with the sum tied to its
// register. Given intrinsics, g++ 12 chooses forms that overwrite a factor and moves sums about,
// some of them through memory, which costs 7 % of the rate in float32 and 20 % in int8.
struct Float32 {
  using Weights = __m256;
  static Weights Load(const float* w) { return _mm256_load_ps(w); }
  [[gnu::always_inline]] static inline void MultiplyAdd(__m256 a, Weights w, __m256& sum) {
    asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(w));
  }
  static __m256 Add(__m256 a, __m256 b) { return a + b; }
};

struct Int8 {
  // Weights are read from memory each time: twelve sums, a, the ones and the products leave no
  // register for them.
  using Weights = const __m256*;
  static Weights Load(const float* w) { return reinterpret_cast<Weights>(w); }
  [[gnu::always_inline]] static inline void MultiplyAdd(__m256 a, Weights w, __m256& sum) {
    __m256i products;
    asm("vpmaddubsw %3, %2, %0\n\tvpmaddwd %4, %0, %0\n\tvpaddd %0, %1, %1"
        : "=&x"(products), "+x"(sum)
        : "x"(a), "m"(*w), "x"(_mm256_set1_epi16(1)));
  }
  static __m256 Add(__m256 a, __m256 b) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
  }
};

// One tile: y[r][0..16) = start + sum over k of x[r][k] w[k][0..16). Meanwhile the next piece of W
// is prefetched.
struct Tile {
  const float* x;  // [rows][depth] words, rows kRowStride apart
  const float* w;  // [depth][16] words
  int64_t depth;
  const float* start;  // [16], or null: what y holds
  float* y;            // [rows][16], rows y_stride apart
  int64_t y_stride;
  const char* next;  // the next_bytes bytes to prefetch
  int64_t next_bytes;
};

template <class Arithmetic, int kRows>
[[gnu::always_inline]] inline void Step(const float* x, const float* w, __m256 (&low)[kRows],
                                        __m256 (&high)[kRows]) {
  const typename Arithmetic::Weights w_low = Arithmetic::Load(w), w_high = Arithmetic::Load(w + 8);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    const __m256 value = _mm256_broadcast_ss(x + r * kRowStride);
    Arithmetic::MultiplyAdd(value, w_low, low[r]);
    Arithmetic::MultiplyAdd(value, w_high, high[r]);
  }
}

template <class Arithmetic, int kRows>
void RunTile(const Tile& tile) {
  const float* const start = tile.start;
  const float* const w_end = tile.w + tile.depth * kGemmPanel;
  float* const y = tile.y;
  const int64_t y_stride = tile.y_stride;
  // Every loop over the sums is unrolled, because an array with an index lives in memory.
  __m256 low[kRows], high[kRows];
  const __m256 start_low = start ? _mm256_loadu_ps(start) : _mm256_setzero_ps();
  const __m256 start_high = start ? _mm256_loadu_ps(start + 8) : _mm256_setzero_ps();
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    low[r] = start_low;
    high[r] = start_high;
    _mm_prefetch(reinterpret_cast<const char*>(y + r * y_stride), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(y + r * y_stride + kGemmPanel - 1), _MM_HINT_T0);
  }
  for (int64_t i = 0; i < tile.next_bytes; i += kCacheLine)
    _mm_prefetch(tile.next + i, _MM_HINT_T1);
  const float* x = tile.x;
  const float* w = tile.w;
  for (const float* const last = w_end - (kSteps - 1) * kGemmPanel; w < last;
       x += kSteps, w += kSteps * kGemmPanel) {
#pragma GCC unroll 8
    for (int k = 0; k < kSteps; ++k) Step<Arithmetic, kRows>(x + k, w + k * kGemmPanel, low, high);
  }
  for (; w < w_end; ++x, w += kGemmPanel) Step<Arithmetic, kRows>(x, w, low, high);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    float* const row = y + r * y_stride;
    _mm256_storeu_ps(row, start ? low[r] : Arithmetic::Add(low[r], _mm256_loadu_ps(row)));
    _mm256_storeu_ps(row + 8, start ? high[r] : Arithmetic::Add(high[r], _mm256_loadu_ps(row + 8)));
  }
}

using TileFn = void (*)(const Tile&);
template <class Arithmetic>
constexpr TileFn kTiles[kTileRows + 1] = {nullptr,
                                          RunTile<Arithmetic, 1>,
                                          RunTile<Arithmetic, 2>,
                                          RunTile<Arithmetic, 3>,
                                          RunTile<Arithmetic, 4>,
                                          RunTile<Arithmetic, 5>,
                                          RunTile<Arithmetic, 6>};

// What follows the product, for a tile whose sums are complete and still lie in the L1 cache.
struct Finish {
  Activation activation;
  const float* x_scales;  // [rows], int8 only
  const float* w_scales;  // [16], int8 only
  const float* bias;      // [16], int8 only
  float* y;               // [rows][16], rows y_stride apart
  int64_t y_stride;
  int64_t rows;
};

template <class Arithmetic, Activation kActivation>
void FinishRows(const Finish& f) {
  for (int64_t r = 0; r < f.rows; ++r) {
    for (int64_t i = 0; i < kGemmPanel; i += 8) {
      float* const y = f.y + r * f.y_stride + i;
      __m256 v = _mm256_loadu_ps(y);
      if constexpr (std::is_same_v<Arithmetic, Int8>) {
        const __m256 scale = _mm256_set1_ps(f.x_scales[r]) * _mm256_loadu_ps(f.w_scales + i);
        v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_castps_si256(v)), scale,
                            _mm256_loadu_ps(f.bias + i));
      }
      _mm256_storeu_ps(y, Activations<V>::Activate<kActivation>(v));
    }
  }
}

template <class Arithmetic>
void FinishTile(const Finish& f) {
  switch (f.activation) {
    case Activation::kNone:
      if constexpr (std::is_same_v<Arithmetic, Int8>) FinishRows<Arithmetic, Activation::kNone>(f);
      return;
    case Activation::kGelu:
      return FinishRows<Arithmetic, Activation::kGelu>(f);
    case Activation::kGeluTanh:
      return FinishRows<Arithmetic, Activation::kGeluTanh>(f);
    case Activation::kRelu:
      return FinishRows<Arithmetic, Activation::kRelu>(f);
    case Activation::kSilu:
      return FinishRows<Arithmetic, Activation::kSilu>(f);
    case Activation::kTanh:
      return FinishRows<Arithmetic, Activation::kTanh>(f);
  }
}

// Some rows of x against one depth of W.
struct Block {
  const float* x = nullptr;  // the copy
  int64_t first_row = 0;
  int64_t rows = 0;
  int64_t depth = 0;      // words
  bool is_first = false;  // of the depths
  bool is_last = false;
};

// A value for each of the sixteen columns of a panel, zeros behind the last column of y.
struct PanelValues {
  PanelValues(const float* values, int64_t first, int64_t count) {
    if (values != nullptr) std::memcpy(of, values + first, count * sizeof(float));
  }
  alignas(32) float of[kGemmPanel] = {};
};

// Computes the block's rows of one panel. A panel that the end of y cuts off is computed aside.
template <class Arithmetic>
void RunPanel(const Gemm& g, const Block& block, int64_t panel, const float* w, bool has_next) {
  const int64_t tiles = (block.rows + kTileRows - 1) / kTileRows;
  const int64_t first = panel * kGemmPanel, columns = std::min(kGemmPanel, g.n - first);
  const PanelValues start(g.start, first, columns), w_scales(g.w_scales, first, columns),
      bias(g.bias, first, columns);
  alignas(32) float aside[kTileRows * kGemmPanel] = {};
  const int64_t w_bytes = block.depth * kGemmPanel * kWordBytes;
  const int64_t share = (w_bytes / tiles + kCacheLine - 1) / kCacheLine * kCacheLine;
  const char* const next = reinterpret_cast<const char*>(w) + w_bytes;
  for (int64_t t = 0, row = 0; t < tiles; ++t) {
    const int64_t end = block.rows * (t + 1) / tiles, rows = end - row;
    float* const y = g.y + (block.first_row + row) * g.n + first;
    const bool whole = columns == kGemmPanel;
    float* const to = whole ? y : aside;
    const int64_t stride = whole ? g.n : kGemmPanel;
    if (!whole && !block.is_first) {
      for (int64_t r = 0; r < rows; ++r)
        std::memcpy(aside + r * kGemmPanel, y + r * g.n, columns * sizeof(float));
    }
    kTiles<Arithmetic>[rows]({.x = block.x + row * kRowStride,
                              .w = w,
                              .depth = block.depth,
                              .start = block.is_first ? start.of : nullptr,
                              .y = to,
                              .y_stride = stride,
                              .next = next + t * share,
                              .next_bytes = has_next ? std::min(share, w_bytes - t * share) : 0});
    if (block.is_last)
      FinishTile<Arithmetic>({.activation = g.activation,
                              .x_scales = g.x_scales + (g.x_scales ? block.first_row + row : 0),
                              .w_scales = w_scales.of,
                              .bias = bias.of,
                              .y = to,
                              .y_stride = stride,
                              .rows = rows});
    if (!whole) {
      for (int64_t r = 0; r < rows; ++r)
        std::memcpy(y + r * g.n, aside + r * kGemmPanel, columns * sizeof(float));
    }
    row = end;
  }
}

// Copies the words [begin, begin + block.depth) of the block's rows. Bytes that a row lacks in its
// last word keep what was there: they meet weights of zero.
void CopyRows(const Gemm& g, const Block& block, int64_t begin, float* to) {
  const int64_t bytes = std::min(block.depth * kWordBytes, g.x_bytes - begin * kWordBytes);
  for (int64_t r = 0; r < block.rows; ++r) {
    std::memcpy(to + r * kRowStride, g.x + (block.first_row + r) * g.x_stride + begin * kWordBytes,
                bytes);
  }
}

template <class Arithmetic>
void RunPart(const Gemm& g, const GemmPart& part) {
  thread_local Scratch scratch;
  float* const x = scratch.Floats(kCopiedRows * kRowStride);
  const int64_t depth = GemmDepth(g.words), panels = NumGemmPanels(g.n);
  const int64_t rows = part.end_row - part.first_row;
  const int64_t blocks = (rows + kCopiedRows - 1) / kCopiedRows;
  for (int64_t b = 0; b < blocks; ++b) {
    Block block;
    block.x = x;
    block.first_row = part.first_row + rows * b / blocks;
    block.rows = part.first_row + rows * (b + 1) / blocks - block.first_row;
    for (int64_t word = 0; word < g.words; word += depth) {
      block.depth = std::min(depth, g.words - word);
      block.is_first = word == 0;
      block.is_last = word + depth >= g.words;
      CopyRows(g, block, word, x);
      const float* const w = g.w + word * panels * kGemmPanel;
      for (int64_t panel = part.first_panel; panel < part.end_panel; ++panel)
        RunPanel<Arithmetic>(g, block, panel, w + panel * block.depth * kGemmPanel,
                             panel + 1 < part.end_panel);
    }
  }
}

}  // namespace

void PackedGemmAvx2(const PackedGemmParams& p, const GemmPart& part) {
  Gemm g;
  g.x = reinterpret_cast<const char*>(p.x);
  g.x_stride = p.x_stride * kWordBytes;
  g.x_bytes = p.k * kWordBytes;
  g.w = p.packed;
  g.start = p.bias;
  g.words = p.k;
  g.n = p.n;
  g.y = p.y;
  g.activation = p.activation;
  RunPart<Float32>(g, part);
}

void PackedInt8GemmAvx2(const PackedInt8GemmParams& p, const GemmPart& part) {
  Gemm g;
  g.x = reinterpret_cast<const char*>(p.x);
  g.x_stride = g.x_bytes = p.k;
  g.w = reinterpret_cast<const float*>(p.packed);
  g.start = reinterpret_cast<const float*>(p.offsets);
  g.words = NumInt8Words(p.k);
  g.n = p.n;
  g.y = p.y;
  g.activation = p.activation;
  g.x_scales = p.x_scales;
  g.w_scales = p.w_scales;
  g.bias = p.bias;
  RunPart<Int8>(g, part);
}

}  // namespace longspan::kernels
