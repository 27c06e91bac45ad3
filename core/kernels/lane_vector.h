// Vector<kLanes>: kLanes floats as a vector type of the compiler, for kernels whose loop nest is
// written once and compiled for several instruction sets: 4 lanes for SSE2 and NEON, 8 for AVX2, 16
// for AVX-512. A plain + or * of two such vectors is one instruction.
//
// Internal linkage on purpose: files that include this are compiled for different instruction sets
// and must not share one copy.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/kernels/softmax_constants.h"

namespace longspan::kernels {
namespace {

template <int kLanes>
struct VectorTypes {
  typedef float Float __attribute__((vector_size(kLanes * sizeof(float))));
  typedef int32_t Int __attribute__((vector_size(kLanes * sizeof(float))));
};

template <int kLanes>
struct Vector {
  using Float = typename VectorTypes<kLanes>::Float;
  using Int = typename VectorTypes<kLanes>::Int;

  static Float Load(const float* p) {
    Float v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static Int Load(const int32_t* p) {
    Int v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void Store(float* p, Float v) { std::memcpy(p, &v, sizeof v); }
  // x in every lane. Its bits stay as they are, also where they are not a number but a pair of
  // bfloat16.
  static Float Set(float x) { return FromBits(Int{} + std::bit_cast<int32_t>(x)); }
  static Int Bits(Float v) {
    Int bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;
  }
  static Float FromBits(Int bits) {
    Float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }

  // a b + c and a b - c, rounded once where the processor can do that (FMA). Of a b - c d the
  // compiler could fuse either product; with these a kernel says which.
  static Float MultiplyAdd(Float a, Float b, Float c) {
#if defined(__AVX512F__)
    if constexpr (kLanes == 16) return _mm512_fmadd_ps(a, b, c);
#endif
#if defined(__AVX2__)
    if constexpr (kLanes == 8) return _mm256_fmadd_ps(a, b, c);
#endif
    return a * b + c;
  }
  static Float MultiplySubtract(Float a, Float b, Float c) {
#if defined(__AVX512F__)
    if constexpr (kLanes == 16) return _mm512_fmsub_ps(a, b, c);
#endif
#if defined(__AVX2__)
    if constexpr (kLanes == 8) return _mm256_fmsub_ps(a, b, c);
#endif
    return a * b - c;
  }

  // Where an operand is NaN, the second one.
  static Float Max(Float a, Float b) {
#if defined(__AVX512F__)
    if constexpr (kLanes == 16) return _mm512_max_ps(a, b);
#endif
#if defined(__AVX2__)
    if constexpr (kLanes == 8) return _mm256_max_ps(a, b);
#endif
    return a > b ? a : b;
  }
  static Float Min(Float a, Float b) { return -Max(-a, -b); }
  static float ReduceMax(Float v) {
    float best = v[0];
    for (int i = 1; i < kLanes; ++i) best = v[i] > best ? v[i] : best;
    return best;
  }
  static float ReduceMin(Float v) { return -ReduceMax(-v); }
  static float ReduceAdd(Float v) {
#if defined(__AVX512F__)
    if constexpr (kLanes == 16) return _mm512_reduce_add_ps(v);
#endif
#if defined(__AVX2__)
    if constexpr (kLanes == 8) {
      __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
      sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
      return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
    }
#endif
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) v[i] += v[i + half];
    }
    return v[0];
  }

  // e^x for finite x <= 0, as 2^n 2^r with |r| <= 1/2. The relative error is 1e-7 plus 6e-8 |x|.
  // Below -87.3 the result is 0.
  static Float ExpNonPositive(Float x) {
    x *= kLog2OfE;
#if defined(__AVX512F__)
    if constexpr (kLanes == 16) {
      const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      return _mm512_scalef_ps(Polynomial(x - whole), whole);
    }
#endif
    const Float n = (x + kRoundToInteger) - kRoundToInteger;
    const Float p = Polynomial(x - n);
    const Float in_range = Max(n, Set(-127.0f));
    // 2^n is built of its exponent, n + 127; at n = -127 that is 0.
    const Float power = FromBits((__builtin_convertvector(in_range, Int) + 127) << 23);
    return x < -126.0f ? Float{} : p * power;
  }

  // ln x for normal x > 0: x = 2^n m with m in [sqrt(1/2), sqrt(2)), and ln m by a polynomial in
  // m - 1. The error is 1e-7. Source: Cephes, logf.
  static Float Log(Float x) {
    const Int bits = Bits(x) - 0x3f3504f3;  // the bits of sqrt(1/2)
    const Float n = __builtin_convertvector(bits >> 23, Float);
    const Float f = FromBits((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, square = f * f;
    Float p = f * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    return n * 0.693359375f + (f - square * 0.5f + (p * f * square - n * 2.12194440e-4f));
  }

  // 2^r for |r| <= 1/2.
  static Float Polynomial(Float r) {
    Float p = r * kExp2TermsAboveOne[5] + kExp2TermsAboveOne[4];
    p = p * r + kExp2TermsAboveOne[3];
    p = p * r + kExp2TermsAboveOne[2];
    p = p * r + kExp2TermsAboveOne[1];
    p = p * r + kExp2TermsAboveOne[0];
    return p * r + 1.0f;
  }

  // Turns rows into columns in log2(kLanes) steps of shuffles of two vectors: step s exchanges bit
  // s of the lane with bit s of the row.
  static void Transpose(Float (&rows)[kLanes]) {
    constexpr auto kAll = std::make_integer_sequence<int, kLanes>();
    TransposeStep<1>(rows, kAll);
    TransposeStep<2>(rows, kAll);
    if constexpr (kLanes >= 8) TransposeStep<4>(rows, kAll);
    if constexpr (kLanes >= 16) TransposeStep<8>(rows, kAll);
  }

  template <int kStep, int... kLane>
  static void TransposeStep(Float (&rows)[kLanes], std::integer_sequence<int, kLane...>) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i & kStep) continue;
      const Float a = rows[i], b = rows[i + kStep];
      rows[i] =
          __builtin_shufflevector(a, b, ((kLane & kStep) ? kLanes + kLane - kStep : kLane)...);
      rows[i + kStep] =
          __builtin_shufflevector(a, b, ((kLane & kStep) ? kLanes + kLane : kLane + kStep)...);
    }
  }
};

// Calls step(i, count) for each vector of a row of `width` elements, where i is its first element:
// first for the whole ones, with count = kLanes, and then for the `count` elements that are left.
// The compiler sees that the whole ones need no partial loads and stores, which takes about a tenth
// off the time of LayerNorm.
template <int64_t kLanes, class Step>
[[gnu::always_inline]] inline void ForEachVector(int64_t width, const Step& step) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) step(i, kLanes);
  if (i < width) step(i, width - i);
}

}  // namespace
}  // namespace longspan::kernels
