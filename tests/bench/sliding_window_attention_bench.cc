// Useful GFLOP/s of the attention kernels, and their share of what the FMA units of this machine do
// in the same run (roofline.h). Useful are 4 * H * D * (keys seen, summed over rows) FLOP: hidden
// keys, the softmax and packing do not count.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "core/kernels/bfloat16.h"
#include "core/kernels/block_sparse_attention.h"
#include "core/kernels/row_attention.h"
#include "core/kernels/sliding_window_attention.h"
#include "tests/bench/roofline.h"

namespace longspan::kernels {
namespace {

struct Shape {
  int64_t length;
  int64_t window;  // one-sided
  int num_heads;
  int head_size;
  int num_texts = 1;
  int num_globals = 0;
};

// Huge pages, as the server's arena has them. Rows of q, k and v lie about a small page apart, so
// with small pages nearly every row would miss the TLB.
struct Free {
  void operator()(uint8_t* pages) const { std::free(pages); }
};
using Pages = std::unique_ptr<uint8_t, Free>;
Pages HugePages(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  bytes = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  Pages pages(static_cast<uint8_t*>(std::aligned_alloc(kHugePage, bytes)));
  madvise(pages.get(), bytes, MADV_HUGEPAGE);
  return pages;
}

// Packed q, k and v [T, 3, H, D] of normal numbers.
class Inputs {
 public:
  Inputs(const Shape& shape, ElementType type) : shape_(shape), type_(type) {
    const size_t tokens = static_cast<size_t>(shape.length) * shape.num_texts;
    const size_t row = shape.num_heads * shape.head_size;
    const size_t width = type == ElementType::kFloat32 ? 4 : 2;
    qkv_ = HugePages(tokens * 3 * row * width);
    out_ = HugePages(tokens * row * width);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < tokens * 3 * row; ++i) {
      const float x = normal(random);
      BFloat16 half;
      FromFloat(x, &half);
      std::memcpy(qkv_.get() + i * width,
                  type == ElementType::kFloat32 ? static_cast<const void*>(&x) : &half, width);
    }
    for (int b = 0; b <= shape.num_texts; ++b) {
      cu_seqlens_.push_back(static_cast<int32_t>(b * shape.length));
      cu_globals_.push_back(b * shape.num_globals);
    }
    windows_.assign(shape.num_texts, shape.window);
    for (int b = 0; b < shape.num_texts; ++b) {
      for (int g = 0; g < shape.num_globals; ++g)
        globals_.push_back(static_cast<int32_t>(b * shape.length) + g);
    }
    params_.type = type;
    params_.q = qkv_.get();
    params_.k = qkv_.get() + width * row;
    params_.v = qkv_.get() + width * 2 * row;
    params_.out = out_.get();
    params_.q_stride = params_.k_stride = params_.v_stride = static_cast<int64_t>(3 * row);
    params_.out_stride = static_cast<int64_t>(row);
    params_.num_heads = shape.num_heads;
    params_.head_size = shape.head_size;
    params_.scale = 0.125f;
    params_.num_texts = shape.num_texts;
    params_.cu_seqlens = cu_seqlens_.data();
    params_.windows = windows_.data();
    params_.globals = globals_.empty() ? nullptr : globals_.data();
    params_.cu_globals = globals_.empty() ? nullptr : cu_globals_.data();
  }

  const SlidingWindowAttentionParams& params() const { return params_; }

  double UsefulFlop() const {
    double keys = 0;
    for (int64_t t = 0; t < shape_.length; ++t) {
      const int64_t w = std::min(shape_.window, shape_.length);
      const int64_t begin = std::max<int64_t>(0, t - w), end = std::min(shape_.length, t + w + 1);
      keys += static_cast<double>(end - begin + std::min<int64_t>(shape_.num_globals, begin));
    }
    return 4.0 * shape_.num_heads * shape_.head_size * keys * shape_.num_texts;
  }

 private:
  Shape shape_;
  ElementType type_;
  Pages qkv_, out_;
  std::vector<int32_t> cu_seqlens_, globals_, cu_globals_;
  std::vector<int64_t> windows_;
  SlidingWindowAttentionParams params_;
};

template <class Pass>
void Measure(benchmark::State& state, std::string_view implementation, double useful_flop,
             int64_t tokens, const Pass& pass) {
  const double passes = bench::MeasureAgainstRoofline(
      state, {.units = bench::AttentionWork(implementation, useful_flop)}, pass);
  state.counters["Mtoken/s"] = static_cast<double>(tokens) * passes * 1e-6;
}

// By the implementation of that name.
void BM_SlidingWindow(benchmark::State& state, Shape shape, ElementType type,
                      std::string_view name) {
  std::vector<RowAttentionImplementation> all = RowAttentionImplementations(type);
  for (const auto& one : Int8RowAttentionImplementations(type)) all.push_back(one);
  for (const RowAttentionImplementation& implementation : all) {
    if (implementation.name != name) continue;
    const Inputs inputs(shape, type);
    return Measure(state, name, inputs.UsefulFlop(), shape.length * shape.num_texts, [&] {
      const std::vector<RowTask> tasks = SlidingWindowTasks(inputs.params());
      implementation.run(inputs.params(), tasks.data(), static_cast<int64_t>(tasks.size()));
    });
  }
  state.SkipWithError("this processor has no such instructions");
}

void BM_BlockSparse(benchmark::State& state, Shape shape, ElementType type) {
  const Inputs inputs(shape, type);
  BlockSparseAttentionParams params;
  params.tensors = inputs.params();
  params.block_size = 64;
  params.random_blocks = 3;
  const double blocks = static_cast<double>(shape.length) / 64, middle = blocks - 2;
  // The first and the last block see all blocks and the others five, but the two beside the first
  // and the last see four.
  const double keys = 64.0 * 64 * (2 * blocks + 5 * middle - 2);
  Measure(state, RowAttentionImplementations(type).front().name,
          4.0 * shape.num_heads * shape.head_size * keys, shape.length,
          [&] { BlockSparseAttention(params); });
}

constexpr ElementType kFloat32 = ElementType::kFloat32, kBFloat16 = ElementType::kBFloat16;
const char* const kPreferred = RowAttentionImplementations(kFloat32).front().name;
const char* const kPreferredBFloat16 = RowAttentionImplementations(kBFloat16).front().name;
const char* const kPreferredInt8 = [] {
  const auto all = Int8RowAttentionImplementations(kBFloat16);
  return all.empty() ? "none with int8 scores" : all.front().name;
}();
constexpr Shape kLongformer = {.length = 4096, .window = 256, .num_heads = 12, .head_size = 64};
constexpr Shape kLongformer16K = {.length = 16384, .window = 256, .num_heads = 12, .head_size = 64};
constexpr Shape kLongformerGlobal = {
    .length = 4096, .window = 256, .num_heads = 12, .head_size = 64, .num_globals = 1};
constexpr Shape kModernBert = {.length = 4096, .window = 64, .num_heads = 12, .head_size = 64};
constexpr Shape kDense512 = {
    .length = 512, .window = kUnlimitedWindow, .num_heads = 12, .head_size = 64, .num_texts = 4};
constexpr Shape kDense4096 = {
    .length = 4096, .window = kUnlimitedWindow, .num_heads = 12, .head_size = 64};
constexpr Shape kMiniLm128 = {
    .length = 128, .window = kUnlimitedWindow, .num_heads = 12, .head_size = 32, .num_texts = 32};
constexpr Shape kMiniLmBand = {
    .length = 4096, .window = 128, .num_heads = 12, .head_size = 32, .num_globals = 1};
constexpr Shape kLed = {.length = 4096, .window = 512, .num_heads = 12, .head_size = 64};

#define LONGSPAN_SHAPES(name, shape)                                                     \
  BENCHMARK_CAPTURE(BM_SlidingWindow, name##_fp32, shape, kFloat32, kPreferred)          \
      ->UseRealTime()                                                                    \
      ->MinTime(0.7);                                                                    \
  BENCHMARK_CAPTURE(BM_SlidingWindow, name##_bf16, shape, kBFloat16, kPreferredBFloat16) \
      ->UseRealTime()                                                                    \
      ->MinTime(0.7);                                                                    \
  BENCHMARK_CAPTURE(BM_SlidingWindow, name##_int8, shape, kBFloat16, kPreferredInt8)     \
      ->UseRealTime()                                                                    \
      ->MinTime(0.7)

LONGSPAN_SHAPES(longformer_4096, kLongformer);
LONGSPAN_SHAPES(longformer_4096_cls, kLongformerGlobal);
LONGSPAN_SHAPES(longformer_16384, kLongformer16K);
LONGSPAN_SHAPES(led_4096, kLed);
LONGSPAN_SHAPES(modernbert_4096, kModernBert);
LONGSPAN_SHAPES(minilm_band_4096, kMiniLmBand);
LONGSPAN_SHAPES(minilm_dense_32x128, kMiniLm128);
LONGSPAN_SHAPES(dense_4x512, kDense512);
LONGSPAN_SHAPES(dense_4096, kDense4096);
BENCHMARK_CAPTURE(BM_SlidingWindow, avx2_longformer_4096_fp32, kLongformer, kFloat32, "avx2")
    ->UseRealTime()
    ->MinTime(0.7);
BENCHMARK_CAPTURE(BM_SlidingWindow, portable_longformer_4096_fp32, kLongformer, kFloat32,
                  "portable")
    ->UseRealTime()
    ->MinTime(0.7);
BENCHMARK_CAPTURE(BM_BlockSparse, bigbird_4096_fp32, kLongformer, kFloat32)
    ->UseRealTime()
    ->MinTime(0.7);
BENCHMARK_CAPTURE(BM_BlockSparse, bigbird_4096_bf16, kLongformer, kBFloat16)
    ->UseRealTime()
    ->MinTime(0.7);

}  // namespace
}  // namespace longspan::kernels
