// The limits of the machine, measured by the benchmark that compares a kernel with them:
// multiply-adds a second of the unit that the kernel uses, and bytes a second of memory. What share
// of them a kernel reaches, roofline_share.h computes.
//
// A slice is some milliseconds of nothing but multiply-adds on every thread of the OpenMP team.
// MeasureAgainstRoofline runs slices in turn with passes of the kernel, so that what disturbs the
// machine disturbs both, and compares each pass with the slices beside it. OMP_NUM_THREADS chooses
// the threads.
//
// A unit is one instruction: a kernel for AVX2 is compared with AVX2 on every processor, and
// attention over bfloat16 that multiplies in float32 with float32. The functions at the end say
// which unit the kernels and layers use. A multiply and an add count 2.
#pragma once

#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/kernels/cpu_features.h"
#include "core/model_info.h"
#include "tests/bench/roofline_share.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace longspan::bench {

enum class Unit {
  kFloat32Plain,    // what the compiler makes of four floats
  kFloat32Avx2,     // VFMADD231PS on 256 bits
  kFloat32Avx512,   // on 512 bits
  kBFloat16Avx512,  // VDPBF16PS
  kBFloat16Amx,     // TDPBF16PS
  kInt8Avx2,        // VPMADDUBSW, VPMADDWD, VPADDD
  kInt8Avx512,      // VPDPBUSD
  kInt8Amx,         // TDPBUSD
};

inline double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

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

// Tiles of AMX. Two tiles of each factor and four of sums keep the unit busy, as in oneDNN's
// products. A tile product is 16 x 16 sums of 16 words, a word being two bfloat16 or four int8.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_a_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
// Linux hands out the tiles on request, once for the process.
inline bool MayUseTiles() {
  static const bool granted = [] {
    constexpr int kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  }();
  return granted;
}
constexpr int64_t kTileSteps = 20000;
// The asm says that all of the configuration is read, which g++ 12 does not know of LDTILECFG.
#define LONGSPAN_TILES(multiply)                      \
  TileConfig config;                                  \
  asm volatile("" : : "r"(&config) : "memory");       \
  _tile_loadconfig(&config);                          \
  _tile_zero(0);                                      \
  _tile_zero(1);                                      \
  _tile_zero(2);                                      \
  _tile_zero(3);                                      \
  _tile_zero(4);                                      \
  _tile_zero(5);                                      \
  _tile_zero(6);                                      \
  _tile_zero(7);                                      \
  for (int64_t step = 0; step < kTileSteps; ++step) { \
    multiply(0, 4, 6);                                \
    multiply(1, 4, 7);                                \
    multiply(2, 5, 6);                                \
    multiply(3, 5, 7);                                \
  }                                                   \
  _tile_release()
__attribute__((target("amx-tile,amx-bf16"))) inline double BFloat16Amx() {
  LONGSPAN_TILES(_tile_dpbf16ps);
  return 2.0 * 16 * 16 * 32 * 4 * kTileSteps;
}
__attribute__((target("amx-tile,amx-int8"))) inline double Int8Amx() {
  LONGSPAN_TILES(_tile_dpbusd);
  return 2.0 * 16 * 16 * 64 * 4 * kTileSteps;
}
#undef LONGSPAN_TILES

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

inline double SliceOfOneThread(Unit unit) {
  switch (unit) {
#if defined(__x86_64__)
    case Unit::kFloat32Avx2:
      return Float32Avx2();
    case Unit::kFloat32Avx512:
      return Float32Avx512();
    case Unit::kBFloat16Avx512:
      return BFloat16Avx512();
    case Unit::kBFloat16Amx:
      return BFloat16Amx();
    case Unit::kInt8Avx2:
      return Int8Avx2();
    case Unit::kInt8Avx512:
      return Int8Avx512();
    case Unit::kInt8Amx:
      return Int8Amx();
#endif
    default:
      return Float32Plain();
  }
}

}  // namespace internal

// One slice of multiply-adds on every thread of the team: FLOP (integer operations for int8).
inline Slice UnitSlice(Unit unit) {
  const double begin = WallSeconds();
  double flop = 0;
#pragma omp parallel reduction(+ : flop)
  flop += internal::SliceOfOneThread(unit);
  return {flop, WallSeconds() - begin};
}

// Copies between buffers that no cache holds, on every thread of the team: bytes read and written.
// A store reads its cache line first unless it goes around the cache, as the large copies of the C
// library do, so these two streams are all there are.
class MemorySlice {
 public:
  Slice operator()() {
    const double begin = WallSeconds();
    const int threads = omp_get_max_threads();
    const int64_t part = static_cast<int64_t>(from_.size()) / threads;
#pragma omp parallel num_threads(threads)
    std::memcpy(to_.data() + omp_get_thread_num() * part,
                from_.data() + omp_get_thread_num() * part, part);
    benchmark::ClobberMemory();
    return {2.0 * static_cast<double>(part * threads), WallSeconds() - begin};
  }

 private:
  static constexpr int64_t kBytes = int64_t{256} << 20;
  std::vector<uint8_t> from_ = std::vector<uint8_t>(kBytes, 1),
                       to_ = std::vector<uint8_t>(kBytes, 2);
};

// What one pass of a kernel does.
struct UnitWork {
  Unit unit = Unit::kFloat32Plain;
  double flop = 0;  // useful FLOP
};
struct Work {
  std::vector<UnitWork> units = {};  // one after the other; none = the units do not limit it
  double bytes = 0;  // that it must move to and from memory; 0 = memory does not limit it
};

// Runs `pass` as the benchmark's loop, and once before it, and sets these counters:
//   GFLOP/s and GB/s    of the best pass, by wall time
//   peak and memory     of the best slices: what the units give for this mix of work, and memory
//   %roofline           the median share of a repetition (roofline_share.h)
// Since best and median differ, GFLOP/s over peak is not quite %roofline. Returns passes a second
// (the best), for counters in other units.
template <class Pass>
double MeasureAgainstRoofline(benchmark::State& state, const Work& work, const Pass& pass) {
  std::optional<MemorySlice> memory;
  if (work.bytes > 0) memory.emplace();
  const size_t num_units = work.units.size();
  // The slices between two passes belong to both.
  const auto slices = [&] {
    std::vector<Slice> now;
    for (const UnitWork& unit : work.units) now.push_back(UnitSlice(unit.unit));
    if (memory) now.push_back((*memory)());
    return now;
  };
  pass();
  std::vector<Repetition> repetitions;
  std::vector<Slice> before = slices();
  for (auto _ : state) {
    const double begin = WallSeconds();
    pass();
    Repetition one{.seconds = WallSeconds() - begin};
    const std::vector<Slice> after = slices();
    for (size_t i = 0; i < num_units; ++i)
      one.units.push_back({.work = work.units[i].flop, .before = before[i], .after = after[i]});
    if (memory)
      one.memory = {.work = work.bytes, .before = before[num_units], .after = after[num_units]};
    repetitions.push_back(std::move(one));
    before = after;
  }
  double flop = 0, best = 0, least_units = 0, memory_rate = 0;
  for (const UnitWork& unit : work.units) flop += unit.flop;
  for (const Repetition& one : repetitions) {
    best = std::max(best, 1 / one.seconds);
    double seconds = 0;
    for (const Limit& unit : one.units) seconds += unit.Seconds();
    if (seconds > 0 && (least_units == 0 || seconds < least_units)) least_units = seconds;
    if (memory) memory_rate = std::max(memory_rate, one.memory.Rate());
  }
  state.counters["threads"] = omp_get_max_threads();
  if (flop > 0) {
    state.counters["GFLOP/s"] = flop * best * 1e-9;
    state.counters["peak"] = flop / least_units * 1e-9;
  }
  if (memory) {
    state.counters["GB/s"] = work.bytes * best * 1e-9;
    state.counters["memory"] = memory_rate * 1e-9;
  }
  state.counters["%roofline"] = MedianShare(repetitions) * 100;
  return best;
}

// ---- Which unit a kernel or a layer uses.

// By the name of its implementation (core/kernels/implementation.h), for its products of floats.
inline Unit UnitOf(std::string_view implementation) {
  if (implementation.ends_with("bf16")) return Unit::kBFloat16Avx512;
  if (implementation.starts_with("avx512")) return Unit::kFloat32Avx512;
  if (implementation == "avx2") return Unit::kFloat32Avx2;
  return Unit::kFloat32Plain;
}

// Attention by that implementation: half of the FLOP are scores and half are values. With "vnni"
// scores are of int8.
inline std::vector<UnitWork> AttentionWork(std::string_view implementation, double flop) {
  const Unit values = UnitOf(implementation);
  if (implementation.find("vnni") == std::string_view::npos) return {{values, flop}};
  return {{Unit::kInt8Avx512, flop / 2}, {values, flop / 2}};
}

// Whether oneDNN may use tiles: where the processor has them, unless ONEDNN_MAX_CPU_ISA says less.
inline bool OneDnnUsesTiles() {
#if defined(__x86_64__)
  const char* most = std::getenv("ONEDNN_MAX_CPU_ISA");
  const std::string_view isa = most != nullptr ? most : "DEFAULT";
  return __builtin_cpu_supports("amx-tile") && internal::MayUseTiles() &&
         (isa == "DEFAULT" || isa == "ALL" || isa.find("AMX") != std::string_view::npos);
#else
  return false;
#endif
}

// Of the products of Linear (core/layers/linear.h).
inline Unit UnitOfLinear(DataType dtype) {
  const kernels::CpuFeatures& cpu = kernels::GetCpuFeatures();
  if (dtype == DataType::kBFloat16)
    return OneDnnUsesTiles() ? Unit::kBFloat16Amx : Unit::kBFloat16Avx512;
  if (dtype == DataType::kInt8) {
    if (!cpu.avx512_vnni) return Unit::kInt8Avx2;
    return OneDnnUsesTiles() ? Unit::kInt8Amx : Unit::kInt8Avx512;
  }
  return cpu.avx512 ? Unit::kFloat32Avx512 : cpu.avx2 ? Unit::kFloat32Avx2 : Unit::kFloat32Plain;
}

}  // namespace longspan::bench
