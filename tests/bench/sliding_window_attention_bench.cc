// Useful GFLOP/s of the attention kernels, and their share of what this machine's own FMA units do in the same run.
//   useful FLOP = 4 * H * D * (keys seen, summed over rows): hidden keys, softmax and packing count for nothing.
// After each pass over the kernel a slice of the FMA loop runs on the same threads; best of all passes against best of all
// slices. The share of the roofline compares processor time, which a busy machine disturbs little; GFLOP/s and peak are wall
// time. OMP_NUM_THREADS chooses the threads; OMP_WAIT_POLICY=passive keeps waiting threads out of the processor time.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <random>
#include <vector>

#include "core/kernels/bfloat16.h"
#include "core/kernels/block_sparse_attention.h"
#include "core/kernels/cpu_features.h"
#include "core/kernels/sliding_window_attention.h"
#include "core/kernels/sliding_window_attention_impl.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace longspan::kernels {
namespace {

struct Stopwatch {
  double wall = WallSeconds(), cpu = CpuSeconds();
  static double WallSeconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  static double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }  // of all threads together
};

constexpr int64_t kFmaSteps = 400000;  // a slice of 1.3 ms or more: the processor clock ticks in microseconds

#if defined(__x86_64__)
__attribute__((target("avx512f"))) double FmaSlice512() {
  __m512 sum[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 factor = _mm512_set1_ps(0.5f);
  for (int64_t step = 0; step < kFmaSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      sum[i] = _mm512_fmadd_ps(sum[i], factor, factor);
      asm volatile("" : "+v"(sum[i]));  // the compiler must not fold the loop
    }
  }
#pragma GCC unroll 12
  for (int i = 1; i < 12; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  benchmark::DoNotOptimize(_mm512_cvtss_f32(sum[0]));
  return 12.0 * 16 * 2 * kFmaSteps;
}

__attribute__((target("avx512f,avx512bf16"))) double Bf16Slice512() {
  __m512 sum[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512bh factor = (__m512bh)_mm512_set1_epi32(0x3f003f00);
  for (int64_t step = 0; step < kFmaSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      sum[i] = _mm512_dpbf16_ps(sum[i], factor, factor);
      asm volatile("" : "+v"(sum[i]));
    }
  }
#pragma GCC unroll 12
  for (int i = 1; i < 12; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  benchmark::DoNotOptimize(_mm512_cvtss_f32(sum[0]));
  return 12.0 * 32 * 2 * kFmaSteps;
}
#endif

double FmaSlicePlain() {
  typedef float Float4 __attribute__((vector_size(16)));
  Float4 sum[8] = {};
  const Float4 factor = Float4{} + 0.5f;
  for (int64_t step = 0; step < kFmaSteps; ++step) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      sum[i] = sum[i] * factor + factor;
      benchmark::DoNotOptimize(sum[i]);
    }
  }
  return 8.0 * 4 * 2 * kFmaSteps;
}

// One slice of multiply-adds on every thread of the team; returns its FLOP.
double PeakSlice(ElementType type) {
  double flop = 0;
#pragma omp parallel reduction(+ : flop)
  {
#if defined(__x86_64__)
    if (type == ElementType::kBFloat16 && GetCpuFeatures().avx512_bf16) {
      flop += Bf16Slice512();
    } else if (GetCpuFeatures().avx512) {
      flop += FmaSlice512();
    } else {
      flop += FmaSlicePlain();
    }
#else
    flop += FmaSlicePlain();
#endif
  }
  return flop;
}

struct Shape {
  int64_t length;
  int64_t window;  // one-sided
  int num_heads;
  int head_size;
  int num_texts = 1;
  int num_globals = 0;
};

// Packed tensors [T, 3, H, D] of normal numbers.
class Inputs {
 public:
  Inputs(const Shape& shape, ElementType type) : shape_(shape), type_(type) {
    const size_t tokens = static_cast<size_t>(shape.length) * shape.num_texts, row = shape.num_heads * shape.head_size;
    const size_t width = type == ElementType::kFloat32 ? 4 : 2;
    qkv_.resize(tokens * 3 * row * width);
    out_.resize(tokens * row * width);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < tokens * 3 * row; ++i) {
      const float x = normal(random);
      BFloat16 half;
      FromFloat(x, &half);
      std::memcpy(&qkv_[i * width], type == ElementType::kFloat32 ? static_cast<const void*>(&x) : &half, width);
    }
    for (int b = 0; b <= shape.num_texts; ++b) {
      cu_seqlens_.push_back(static_cast<int32_t>(b * shape.length));
      cu_globals_.push_back(b * shape.num_globals);
    }
    windows_.assign(shape.num_texts, shape.window);
    for (int b = 0; b < shape.num_texts; ++b) {
      for (int g = 0; g < shape.num_globals; ++g) globals_.push_back(static_cast<int32_t>(b * shape.length) + g);
    }
    params_.type = type;
    params_.q = qkv_.data();
    params_.k = qkv_.data() + width * row;
    params_.v = qkv_.data() + width * 2 * row;
    params_.out = out_.data();
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
  std::vector<uint8_t> qkv_, out_;
  std::vector<int32_t> cu_seqlens_, globals_, cu_globals_;
  std::vector<int64_t> windows_;
  SlidingWindowAttentionParams params_;
};

// Best rates over all passes: FLOP a second of wall time, and a second of processor time (all threads together).
struct BestRate {
  double wall = 0, cpu = 0;
  void Add(double flop, const Stopwatch& begin) {
    const Stopwatch end;
    wall = std::max(wall, flop / (end.wall - begin.wall));
    if (end.cpu > begin.cpu) cpu = std::max(cpu, flop / (end.cpu - begin.cpu));
  }
};

template <class Pass>
void Measure(benchmark::State& state, ElementType type, double useful_flop, int64_t tokens, const Pass& pass) {
  BestRate kernel, peak;
  pass();
  for (auto _ : state) {
    const Stopwatch pass_begin;
    pass();
    kernel.Add(useful_flop, pass_begin);
    const Stopwatch slice_begin;
    peak.Add(PeakSlice(type), slice_begin);
  }
  state.counters["threads"] = omp_get_max_threads();
  state.counters["Mtoken/s"] = static_cast<double>(tokens) * kernel.wall / useful_flop * 1e-6;
  state.counters["GFLOP/s"] = kernel.wall * 1e-9;
  state.counters["peak"] = peak.wall * 1e-9;
  state.counters["GFLOP/s/core"] = kernel.cpu * 1e-9;
  state.counters["peak/core"] = peak.cpu * 1e-9;
  state.counters["%roofline"] = kernel.cpu / peak.cpu * 100;
}

void BM_SlidingWindow(benchmark::State& state, Shape shape, ElementType type, AttentionImplementation implementation) {
  if (!IsSupported(implementation, type)) return state.SkipWithError("this processor has no such instructions");
  const Inputs inputs(shape, type);
  Measure(state, type, inputs.UsefulFlop(), shape.length * shape.num_texts,
          [&] { SlidingWindowAttention(inputs.params(), implementation); });
}

void BM_BlockSparse(benchmark::State& state, Shape shape, ElementType type) {
  const Inputs inputs(shape, type);
  BlockSparseAttentionParams params;
  params.tensors = inputs.params();
  params.block_size = 64;
  params.random_blocks = 3;
  const double blocks = static_cast<double>(shape.length) / 64, middle = blocks - 2;
  const double keys = 64.0 * 64 * (2 * blocks + 5 * middle - 2);  // the blocks beside the first and the last see 4
  Measure(state, type, 4.0 * shape.num_heads * shape.head_size * keys, shape.length, [&] { BlockSparseAttention(params); });
}

constexpr ElementType kFloat32 = ElementType::kFloat32, kBFloat16 = ElementType::kBFloat16;
constexpr AttentionImplementation kAvx512 = AttentionImplementation::kAvx512, kAvx512Bf16 = AttentionImplementation::kAvx512Bf16,
                                  kPortable = AttentionImplementation::kPortable;
constexpr Shape kLongformer = {4096, 256, 12, 64}, kLongformer16K = {16384, 256, 12, 64},
                kLongformerGlobal = {4096, 256, 12, 64, 1, 1}, kModernBert = {4096, 64, 12, 64},
                kDense512 = {512, kUnlimitedWindow, 12, 64, 4}, kDense4096 = {4096, kUnlimitedWindow, 12, 64},
                kMiniLm128 = {128, kUnlimitedWindow, 12, 32, 32}, kMiniLmBand = {4096, 128, 12, 32, 1, 1},
                kLed = {4096, 512, 12, 64};

#define LONGSPAN_SHAPES(name, shape)                                                                       \
  BENCHMARK_CAPTURE(BM_SlidingWindow, name##_fp32, shape, kFloat32, kAvx512)->UseRealTime()->MinTime(0.7); \
  BENCHMARK_CAPTURE(BM_SlidingWindow, name##_bf16, shape, kBFloat16, kAvx512Bf16)->UseRealTime()->MinTime(0.7)

LONGSPAN_SHAPES(longformer_4096, kLongformer);
LONGSPAN_SHAPES(longformer_4096_cls, kLongformerGlobal);
LONGSPAN_SHAPES(longformer_16384, kLongformer16K);
LONGSPAN_SHAPES(led_4096, kLed);
LONGSPAN_SHAPES(modernbert_4096, kModernBert);
LONGSPAN_SHAPES(minilm_band_4096, kMiniLmBand);
LONGSPAN_SHAPES(minilm_dense_32x128, kMiniLm128);
LONGSPAN_SHAPES(dense_4x512, kDense512);
LONGSPAN_SHAPES(dense_4096, kDense4096);
BENCHMARK_CAPTURE(BM_SlidingWindow, portable_longformer_4096_fp32, kLongformer, kFloat32, kPortable)->UseRealTime()->MinTime(0.7);
BENCHMARK_CAPTURE(BM_BlockSparse, bigbird_4096_fp32, kLongformer, kFloat32)->UseRealTime()->MinTime(0.7);
BENCHMARK_CAPTURE(BM_BlockSparse, bigbird_4096_bf16, kLongformer, kBFloat16)->UseRealTime()->MinTime(0.7);

}  // namespace
}  // namespace longspan::kernels
