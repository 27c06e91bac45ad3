// The limits of the machine, measured by the benchmark that compares a kernel with them:
// multiply-adds a second of the vector units in float32, bfloat16 and int8, and bytes a second of
// memory. A kernel's share of the roofline is its rate over what the limits allow at its arithmetic
// intensity,
//   min(peak, FLOP / bytes * bandwidth)      (Williams, Waterman and Patterson 2009).
//
// A slice is some milliseconds of nothing but multiply-adds on every thread of the OpenMP team.
// MeasureAgainstRoofline runs slices in turn with passes of the kernel, so that what disturbs the
// machine disturbs both. Rates by wall time are what a reader gets. The share compares the
// processor time of all threads, which a busy machine disturbs little. OMP_NUM_THREADS chooses the
// threads; with OMP_WAIT_POLICY=passive, waiting threads take no processor time.
//
// The vector units are used as the kernels use them: AVX-512 (with VDPBF16PS and VPDPBUSD where
// present), else AVX2 with FMA, else what the compiler makes of four floats. For a processor
// without bfloat16 units the bfloat16 peak is that of float32, because values are widened. For one
// without VNNI the int8 peak is that of VPMADDUBSW and VPMADDWD. Tile units (AMX) are left out. A
// multiply and an add count 2.
#pragma once

#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <vector>

#include "core/kernels/cpu_features.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace longspan::bench {

enum class Arithmetic { kFloat32, kBFloat16, kInt8 };

struct Stopwatch {
  double wall = WallSeconds(), cpu = CpuSeconds();
  static double WallSeconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  // Of all threads together.
  static double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
};

// Work a second. By wall time the best pass counts, because other processes only ever make a pass
// slower. By the processor time of all threads the mean of all passes counts, because the clock of
// a thread that sleeps at a barrier lags within one pass.
class Rate {
 public:
  void Add(double work, const Stopwatch& begin) {
    const Stopwatch end;
    wall_ = std::max(wall_, work / (end.wall - begin.wall));
    work_ += work;
    cpu_seconds_ += end.cpu - begin.cpu;
  }
  double wall() const { return wall_; }
  double cpu() const { return cpu_seconds_ > 0 ? work_ / cpu_seconds_ : 0; }

 private:
  double wall_ = 0, work_ = 0, cpu_seconds_ = 0;
};

namespace internal {

// A slice takes 1.3 ms or more: the processor clock ticks in microseconds.
constexpr int64_t kSteps = 400000;
// Independent chains of multiply-adds. Ten keep two units with a latency of five cycles busy.
constexpr int kSums = 12;

#if defined(__x86_64__)
// All loops over the sums are unrolled, because an array with an index lives in memory. The asm
// keeps the compiler from folding the steps into one.
__attribute__((target("avx512f"))) inline double Float32Avx512() {
  const __m512 factor = _mm512_set1_ps(0.5f);
  __m512 sum[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sum[i] = _mm512_setzero_ps();
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      sum[i] = _mm512_fmadd_ps(sum[i], factor, factor);
      asm volatile("" : "+v"(sum[i]));
    }
  }
  return 2.0 * 16 * kSums * kSteps;
}

__attribute__((target("avx512f,avx512bf16"))) inline double BFloat16Avx512() {
  const __m512bh factor = (__m512bh)_mm512_set1_epi32(0x3f003f00);
  __m512 sum[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sum[i] = _mm512_setzero_ps();
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      sum[i] = _mm512_dpbf16_ps(sum[i], factor, factor);
      asm volatile("" : "+v"(sum[i]));
    }
  }
  return 2.0 * 32 * kSums * kSteps;
}

__attribute__((target("avx512f,avx512vnni"))) inline double Int8Avx512() {
  const __m512i factor = _mm512_set1_epi8(1);
  __m512i sum[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sum[i] = _mm512_setzero_si512();
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      sum[i] = _mm512_dpbusd_epi32(sum[i], factor, factor);
      asm volatile("" : "+v"(sum[i]));
    }
  }
  return 2.0 * 64 * kSums * kSteps;
}

__attribute__((target("avx2,fma"))) inline double Float32Avx2() {
  const __m256 factor = _mm256_set1_ps(0.5f);
  __m256 sum[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sum[i] = _mm256_setzero_ps();
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      sum[i] = _mm256_fmadd_ps(sum[i], factor, factor);
      asm volatile("" : "+v"(sum[i]));
    }
  }
  return 2.0 * 8 * kSums * kSteps;
}

__attribute__((target("avx2"))) inline double Int8Avx2() {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i factor = _mm256_set1_epi8(1);
  __m256i sum[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sum[i] = _mm256_setzero_si256();
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      asm volatile("" : "+v"(factor));  // so that each step multiplies anew
      sum[i] =
          _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(factor, factor), ones));
      asm volatile("" : "+v"(sum[i]));
    }
  }
  return 2.0 * 32 * kSums * kSteps;
}

inline bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

inline double Float32Plain() {
  typedef float Float4 __attribute__((vector_size(16)));
  Float4 sum[kSums] = {};
  const Float4 factor = Float4{} + 0.5f;
  for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      sum[i] = sum[i] * factor + factor;
      benchmark::DoNotOptimize(sum[i]);
    }
  }
  return 2.0 * 4 * kSums * kSteps;
}

inline double SliceOfOneThread(Arithmetic arithmetic) {
#if defined(__x86_64__)
  const kernels::CpuFeatures& cpu = kernels::GetCpuFeatures();
  if (arithmetic == Arithmetic::kInt8 && cpu.avx512_vnni) return Int8Avx512();
  if (arithmetic == Arithmetic::kInt8 && HasAvx2()) return Int8Avx2();
  if (arithmetic == Arithmetic::kBFloat16 && cpu.avx512_bf16) return BFloat16Avx512();
  if (cpu.avx512) return Float32Avx512();
  if (HasAvx2()) return Float32Avx2();
#endif
  return Float32Plain();
}

}  // namespace internal

// One slice of multiply-adds on every thread of the team; returns its FLOP (integer operations for
// kInt8).
inline double PeakSlice(Arithmetic arithmetic) {
  double flop = 0;
#pragma omp parallel reduction(+ : flop)
  flop += internal::SliceOfOneThread(arithmetic);
  return flop;
}

// Copies between buffers that no cache holds, on every thread of the team. Returns the bytes read
// and written. A store reads its cache line first unless it goes around the cache, as the large
// copies of the C library do, so these two streams are all there are.
class MemorySlice {
 public:
  double operator()() {
    const int threads = omp_get_max_threads();
    const int64_t part = static_cast<int64_t>(from_.size()) / threads;
#pragma omp parallel num_threads(threads)
    std::memcpy(to_.data() + omp_get_thread_num() * part,
                from_.data() + omp_get_thread_num() * part, part);
    benchmark::ClobberMemory();
    return 2.0 * static_cast<double>(part * threads);
  }

 private:
  static constexpr int64_t kBytes = int64_t{256} << 20;
  std::vector<uint8_t> from_ = std::vector<uint8_t>(kBytes, 1),
                       to_ = std::vector<uint8_t>(kBytes, 2);
};

// The limits by themselves. Every call measures anew.
inline Rate MeasurePeak(Arithmetic arithmetic, int slices = 20) {
  Rate rate;
  for (int i = 0; i < slices; ++i) {
    const Stopwatch begin;
    rate.Add(PeakSlice(arithmetic), begin);
  }
  return rate;
}

inline Rate MeasureBandwidth(int slices = 5) {
  Rate rate;
  MemorySlice slice;
  for (int i = 0; i < slices; ++i) {
    const Stopwatch begin;
    rate.Add(slice(), begin);
  }
  return rate;
}

// What one pass of a kernel does.
struct Work {
  Arithmetic arithmetic = Arithmetic::kFloat32;
  double flop = 0;   // useful FLOP; 0 = the units do not limit it
  double bytes = 0;  // that it must move to and from memory; 0 = memory does not limit it
};

// Runs `pass` as the benchmark's loop, and once before it, and sets these counters:
//   GFLOP/s and peak, GB/s and memory (its peak)   by wall time
//   GFLOP/s/core, peak/core                        by processor time
//   %roofline                                      the rate over the limit that binds
// The share is one of processor time for FLOP. For bytes it is one of wall time, because waiting
// for memory is processor time too. Returns passes a second of wall time (the best), for counters
// in other units.
template <class Pass>
double MeasureAgainstRoofline(benchmark::State& state, const Work& work, const Pass& pass) {
  Rate passes, peak, memory;
  if (work.bytes > 0) memory = MeasureBandwidth();
  pass();
  for (auto _ : state) {
    const Stopwatch pass_begin;
    pass();
    passes.Add(1, pass_begin);
    if (work.flop == 0) continue;
    const Stopwatch slice_begin;
    peak.Add(PeakSlice(work.arithmetic), slice_begin);
  }
  double share = 0;
  state.counters["threads"] = omp_get_max_threads();
  if (work.flop > 0) {
    state.counters["GFLOP/s"] = work.flop * passes.wall() * 1e-9;
    state.counters["peak"] = peak.wall() * 1e-9;
    state.counters["GFLOP/s/core"] = work.flop * passes.cpu() * 1e-9;
    state.counters["peak/core"] = peak.cpu() * 1e-9;
    share = work.flop * passes.cpu() / peak.cpu();
  }
  if (work.bytes > 0) {
    state.counters["GB/s"] = work.bytes * passes.wall() * 1e-9;
    state.counters["memory"] = memory.wall() * 1e-9;
    share = std::max(share, work.bytes * passes.wall() / memory.wall());
  }
  state.counters["%roofline"] = share * 100;
  return passes.wall();
}

}  // namespace longspan::bench
