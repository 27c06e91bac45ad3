// A stand-in for the compiler's <immintrin.h>, which is found first where core/kernels/*_avx512.cc
// are compiled a second time, for tests on processors without AVX-512. It includes the compiler's
// header and then gives each AVX-512 intrinsic that the kernels use as a function that computes the
// same bits with AVX2 and FMA. So those files run there unchanged, but for registers and timing.
//
// The semantics are those of the Intel SDM, volume 2: masked lanes of memory are neither read nor
// written; results are rounded to nearest, ties to even; denormals are kept, as MXCSR says by
// default. VDPBF16PS and VCVTNE*PS2BF16 do not consult MXCSR: they treat denormals as zero. NaN may
// have another payload than the processor's, except in VSCALEFPS and in conversions to bfloat16.
//
// An intrinsic that is missing here fails to compile. Add it, and a case to avx512_intrinsics_test,
// which compares these functions with the rules written out, and on a processor with AVX-512 the
// instructions themselves too.
#pragma once

#include_next <immintrin.h>

#if !defined(__AVX512F__)  // otherwise the compiler's own intrinsics are there
#define __AVX512F__ 1      // for lane_vector.h, which asks for it

#include <cmath>
#include <cstdint>
#include <cstring>

namespace emulated_avx512 {

#define EMULATED_AVX512 [[gnu::always_inline]] static inline

typedef int32_t Int32x16 __attribute__((vector_size(64)));
typedef uint32_t UInt32x16 __attribute__((vector_size(64)));
typedef uint16_t UInt16x32 __attribute__((vector_size(64)));
typedef uint16_t UInt16x16 __attribute__((vector_size(32)));
typedef uint8_t UInt8x16 __attribute__((vector_size(16)));

// ---- A vector of 512 bits as two halves of AVX2.
EMULATED_AVX512 __m256 Low(__m512 v) {
  return __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
}
EMULATED_AVX512 __m256 High(__m512 v) {
  return __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
}
EMULATED_AVX512 __m512 Join(__m256 low, __m256 high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
EMULATED_AVX512 Int32x16 Join(__m256i low, __m256i high) {
  return (Int32x16)Join((__m256)low, (__m256)high);
}

// All bits set in the lanes of a mask, none in the others.
EMULATED_AVX512 Int32x16 Lanes(__mmask16 mask) {
  constexpr Int32x16 kBits = {1,   2,   4,    8,    16,   32,   64,    128,
                              256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
  return (kBits & (Int32x16{} + static_cast<int32_t>(mask))) != 0;
}
EMULATED_AVX512 __mmask16 MaskOf(Int32x16 lanes) {
  const __m512 v = (__m512)lanes;
  return static_cast<__mmask16>(_mm256_movemask_ps(Low(v)) | _mm256_movemask_ps(High(v)) << 8);
}

// ---- Memory.
EMULATED_AVX512 __m512 loadu_ps(const void* p) {
  __m512 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
EMULATED_AVX512 void storeu_ps(void* p, __m512 v) { std::memcpy(p, &v, sizeof v); }
EMULATED_AVX512 __m512i load_si512(const void* p) { return *static_cast<const __m512i*>(p); }
EMULATED_AVX512 void storeu_si512(void* p, __m512i v) { std::memcpy(p, &v, sizeof v); }

template <class Vector, class Element>
EMULATED_AVX512 Vector LoadSome(uint32_t mask, const void* p) {
  constexpr uint32_t kLanes = sizeof(Vector) / sizeof(Element);
  Element lanes[kLanes] = {};
  for (uint32_t i = 0; i < kLanes; ++i)
    if (mask >> i & 1)
      std::memcpy(&lanes[i], static_cast<const char*>(p) + i * sizeof(Element), sizeof(Element));
  Vector v;
  std::memcpy(&v, lanes, sizeof v);
  return v;
}
template <class Element, class Vector>
EMULATED_AVX512 void StoreSome(void* p, uint32_t mask, Vector v) {
  constexpr uint32_t kLanes = sizeof(Vector) / sizeof(Element);
  Element lanes[kLanes];
  std::memcpy(lanes, &v, sizeof v);
  for (uint32_t i = 0; i < kLanes; ++i)
    if (mask >> i & 1)
      std::memcpy(static_cast<char*>(p) + i * sizeof(Element), &lanes[i], sizeof(Element));
}
EMULATED_AVX512 __m512 maskz_loadu_ps(__mmask16 k, const void* p) {
  return LoadSome<__m512, float>(k, p);
}
EMULATED_AVX512 __m512i maskz_loadu_epi16(__mmask32 k, const void* p) {
  return LoadSome<__m512i, uint16_t>(k, p);
}
EMULATED_AVX512 __m256i maskz_loadu_epi16_256(__mmask16 k, const void* p) {
  return LoadSome<__m256i, uint16_t>(k, p);
}
EMULATED_AVX512 void mask_storeu_ps(void* p, __mmask16 k, __m512 v) { StoreSome<float>(p, k, v); }
EMULATED_AVX512 void mask_storeu_epi16_256(void* p, __mmask16 k, __m256i v) {
  StoreSome<uint16_t>(p, k, v);
}
EMULATED_AVX512 void mask_storeu_epi8_128(void* p, __mmask16 k, __m128i v) {
  StoreSome<uint8_t>(p, k, v);
}

// ---- Constants.
EMULATED_AVX512 __m512 setzero_ps() { return __m512{}; }
EMULATED_AVX512 __m512i setzero_si512() { return __m512i{}; }
EMULATED_AVX512 __m512 set1_ps(float x) { return Join(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
EMULATED_AVX512 __m512i set1_epi32(int32_t x) { return (__m512i)(Int32x16{} + x); }
template <class... Lane>
EMULATED_AVX512 __m512i setr_epi32(Lane... lanes) {
  return (__m512i)Int32x16{lanes...};
}

// ---- Arithmetic in float32.
EMULATED_AVX512 __m512 add_ps(__m512 a, __m512 b) { return a + b; }
EMULATED_AVX512 __m512 sub_ps(__m512 a, __m512 b) { return a - b; }
EMULATED_AVX512 __m512 mul_ps(__m512 a, __m512 b) { return a * b; }
EMULATED_AVX512 __m512 div_ps(__m512 a, __m512 b) { return a / b; }
// Fused: rounded once.
EMULATED_AVX512 __m512 fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return Join(_mm256_fmadd_ps(Low(a), Low(b), Low(c)), _mm256_fmadd_ps(High(a), High(b), High(c)));
}
EMULATED_AVX512 __m512 fmsub_ps(__m512 a, __m512 b, __m512 c) {
  return Join(_mm256_fmsub_ps(Low(a), Low(b), Low(c)), _mm256_fmsub_ps(High(a), High(b), High(c)));
}
EMULATED_AVX512 __m512 fnmadd_ps(__m512 a, __m512 b, __m512 c) {
  return Join(_mm256_fnmadd_ps(Low(a), Low(b), Low(c)),
              _mm256_fnmadd_ps(High(a), High(b), High(c)));
}
// Where an operand is NaN or both are zero, the second one, as the AVX instructions give it.
EMULATED_AVX512 __m512 max_ps(__m512 a, __m512 b) {
  return Join(_mm256_max_ps(Low(a), Low(b)), _mm256_max_ps(High(a), High(b)));
}
EMULATED_AVX512 __m512 min_ps(__m512 a, __m512 b) {
  return Join(_mm256_min_ps(Low(a), Low(b)), _mm256_min_ps(High(a), High(b)));
}
EMULATED_AVX512 __m512 abs_ps(__m512 v) { return (__m512)((Int32x16)v & 0x7fffffff); }
EMULATED_AVX512 __m512 and_ps(__m512 a, __m512 b) { return (__m512)((Int32x16)a & (Int32x16)b); }
EMULATED_AVX512 __m512 or_ps(__m512 a, __m512 b) { return (__m512)((Int32x16)a | (Int32x16)b); }

// VRNDSCALEPS that keeps no fraction bits (imm8[7:4] = 0) rounds as AVX does.
template <int kImmediate>
EMULATED_AVX512 __m512 roundscale_ps(__m512 v) {
  static_assert(kImmediate >> 4 == 0, "fraction bits are not emulated");
  return Join(_mm256_round_ps(Low(v), kImmediate), _mm256_round_ps(High(v), kImmediate));
}

EMULATED_AVX512 float FloatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
EMULATED_AVX512 uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
// VSCALEFPS, a 2^floor(b), rounded once, also into the denormals. One lane, any operands: the table
// of special cases of the instruction in the SDM's volume 2C, with the payloads of NaN.
EMULATED_AVX512 float ScaleLane(float a, float b) {
  constexpr uint32_t kQuiet = 0x00400000;       // set in a quiet NaN, not in a signalling one
  constexpr uint32_t kIndefinite = 0xffc00000;  // the NaN of an invalid operation
  const uint32_t a_bits = BitsOfFloat(a), b_bits = BitsOfFloat(b);
  if (std::isnan(a)) {
    // Only a quiet NaN gives way to an infinite power.
    const bool is_quiet = (a_bits & kQuiet) != 0;
    return is_quiet && std::isinf(b) ? (b > 0 ? b : 0.0f) : FloatOfBits(a_bits | kQuiet);
  }
  if (std::isnan(b)) return FloatOfBits(b_bits | kQuiet);
  if (std::isinf(b)) {
    if (b > 0 ? a == 0 : std::isinf(a)) return FloatOfBits(kIndefinite);
    return std::copysign(b > 0 ? b : 0.0f, a);
  }
  // As a double the product is exact. Beyond 2^+-400 every float overflows or vanishes.
  const double power = std::fmin(std::fmax(std::floor(b), -400.0f), 400.0f);
  return static_cast<float>(std::ldexp(static_cast<double>(a), static_cast<int>(power)));
}
EMULATED_AVX512 __m512 scalef_ps(__m512 a, __m512 b) {
  // The common case: every lane is a normal number times a power that leaves it normal, so the
  // power is added to its exponent.
  const Int32x16 exponent = ((Int32x16)a >> 23) & 255;
  const __m512 whole = Join(_mm256_floor_ps(Low(b)), _mm256_floor_ps(High(b)));
  const Int32x16 small = (whole >= -1000.0f) & (whole <= 1000.0f);
  const Int32x16 power = Join(_mm256_cvtps_epi32(Low(whole)), _mm256_cvtps_epi32(High(whole)));
  const Int32x16 sum = exponent + (power & small);
  const Int32x16 plain = small & (exponent > 0) & (exponent < 255) & (sum > 0) & (sum < 255);
  __m512 result = (__m512)((Int32x16)a + (power << 23));
  if (MaskOf(plain) == 0xffff) return result;
  for (int i = 0; i < 16; ++i)
    if (!plain[i]) result[i] = ScaleLane(a[i], b[i]);
  return result;
}

// Halves are combined in the order of the compilers' sequences.
EMULATED_AVX512 float reduce_add_ps(__m512 v) {
  const __m256 eight = _mm256_add_ps(High(v), Low(v));
  const __m128 four = _mm_add_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return two[0] + two[1];
}
EMULATED_AVX512 float reduce_max_ps(__m512 v) {
  const __m256 eight = _mm256_max_ps(High(v), Low(v));
  const __m128 four = _mm_max_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_max_ss(two, _mm_movehdup_ps(two))[0];
}

// ---- Integers.
EMULATED_AVX512 __m512i add_epi32(__m512i a, __m512i b) {
  return (__m512i)((UInt32x16)a + (UInt32x16)b);
}
EMULATED_AVX512 __m512i max_epi32(__m512i a, __m512i b) {
  return (__m512i)((Int32x16)a > (Int32x16)b ? (Int32x16)a : (Int32x16)b);
}
// Halves are combined, as the compilers do it; the order does not matter.
EMULATED_AVX512 int32_t reduce_add_epi32(__m512i v) {
  uint32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += ((UInt32x16)v)[i];
  return static_cast<int32_t>(sum);
}
EMULATED_AVX512 int32_t reduce_max_epi32(__m512i v) {
  int32_t largest = ((Int32x16)v)[0];
  for (int i = 1; i < 16; ++i) largest = largest < ((Int32x16)v)[i] ? ((Int32x16)v)[i] : largest;
  return largest;
}
// VPDPBUSD (AVX512_VNNI): four products of unsigned by signed bytes a lane, and their sum, which
// wraps around in 32 bits.
EMULATED_AVX512 __m512i dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
  const UInt32x16 x = (UInt32x16)a;
  const Int32x16 y = (Int32x16)b;
  UInt32x16 total = (UInt32x16)sum;
  for (int byte = 0; byte < 4; ++byte)
    total += (x >> (8 * byte) & 255u) * (UInt32x16)((y << (24 - 8 * byte)) >> 24);
  return (__m512i)total;
}
EMULATED_AVX512 __m512i and_si512(__m512i a, __m512i b) { return a & b; }
EMULATED_AVX512 __m512i or_si512(__m512i a, __m512i b) { return a | b; }
EMULATED_AVX512 __m512i slli_epi32(__m512i v, unsigned count) {
  return count > 31 ? __m512i{} : (__m512i)((UInt32x16)v << count);
}
EMULATED_AVX512 __m512i srli_epi32(__m512i v, unsigned count) {
  return count > 31 ? __m512i{} : (__m512i)((UInt32x16)v >> count);
}
EMULATED_AVX512 __m512 castsi512_ps(__m512i v) { return (__m512)v; }
EMULATED_AVX512 __m512i castps_si512(__m512 v) { return (__m512i)v; }

// ---- Comparisons and masks.
template <int kPredicate>
EMULATED_AVX512 __mmask16 cmp_ps_mask(__m512 a, __m512 b) {
  return MaskOf((Int32x16)Join(_mm256_cmp_ps(Low(a), Low(b), kPredicate),
                               _mm256_cmp_ps(High(a), High(b), kPredicate)));
}
EMULATED_AVX512 __mmask16 cmpge_epi32_mask(__m512i a, __m512i b) {
  return MaskOf((Int32x16)a >= (Int32x16)b);
}
EMULATED_AVX512 __mmask16 cmple_epi32_mask(__m512i a, __m512i b) {
  return MaskOf((Int32x16)a <= (Int32x16)b);
}
EMULATED_AVX512 __m512i mask_mov_epi32(__m512i src, __mmask16 k, __m512i a) {
  const Int32x16 lanes = Lanes(k);
  return (__m512i)(((Int32x16)a & lanes) | ((Int32x16)src & ~lanes));
}
EMULATED_AVX512 __m512 mask_mov_ps(__m512 src, __mmask16 k, __m512 a) {
  return (__m512)mask_mov_epi32((__m512i)src, k, (__m512i)a);
}
EMULATED_AVX512 __m512 maskz_mov_ps(__mmask16 k, __m512 a) { return mask_mov_ps(__m512{}, k, a); }
EMULATED_AVX512 __m512 maskz_sub_ps(__mmask16 k, __m512 a, __m512 b) {
  return maskz_mov_ps(k, a - b);
}

// ---- Conversions between integers and from float32.
// 0x80000000 for NaN and where the rounded value does not fit.
EMULATED_AVX512 __m512i cvtps_epi32(__m512 v) {
  return (__m512i)Join(_mm256_cvtps_epi32(Low(v)), _mm256_cvtps_epi32(High(v)));
}
EMULATED_AVX512 __m512 cvtepi32_ps(__m512i v) {
  return Join(_mm256_cvtepi32_ps((__m256i)Low((__m512)v)),
              _mm256_cvtepi32_ps((__m256i)High((__m512)v)));
}
EMULATED_AVX512 __m512i cvtepu16_epi32(__m256i v) {
  return (__m512i)Join(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)),
                       _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1)));
}
EMULATED_AVX512 __m256i cvtepi32_epi16(__m512i v) {
  return (__m256i) __builtin_convertvector((UInt32x16)v, UInt16x16);
}
EMULATED_AVX512 __m128i cvtepi32_epi8(__m512i v) {
  return (__m128i) __builtin_convertvector((UInt32x16)v & 255u, UInt8x16);
}
// Lanes are unsigned and saturate: above 255 they are 255, and so is every lane with its sign bit
// set.
EMULATED_AVX512 __m128i cvtusepi32_epi8(__m512i v) {
  const UInt32x16 lanes = (UInt32x16)v, most = UInt32x16{} + 255u;
  return (__m128i) __builtin_convertvector(lanes < most ? lanes : most, UInt8x16);
}

// ---- Shuffles. The immediates select two places from the first operand for the lower half and two
// from the second for the upper half.
template <int kImmediate>
EMULATED_AVX512 __m512 shuffle_ps(__m512 a, __m512 b) {  // floats within each 128 bits
  return Join(_mm256_shuffle_ps(Low(a), Low(b), kImmediate),
              _mm256_shuffle_ps(High(a), High(b), kImmediate));
}
template <int kImmediate>
EMULATED_AVX512 __m512 shuffle_f32x4(__m512 a, __m512 b) {  // 128-bit blocks
  const auto block = [](__m512 v, int i) {
    __m128 blocks[4];
    std::memcpy(blocks, &v, sizeof v);
    return blocks[i];
  };
  return Join(_mm256_set_m128(block(a, kImmediate >> 2 & 3), block(a, kImmediate & 3)),
              _mm256_set_m128(block(b, kImmediate >> 6 & 3), block(b, kImmediate >> 4 & 3)));
}
EMULATED_AVX512 __m512 unpacklo_ps(__m512 a, __m512 b) {
  return Join(_mm256_unpacklo_ps(Low(a), Low(b)), _mm256_unpacklo_ps(High(a), High(b)));
}
EMULATED_AVX512 __m512 unpackhi_ps(__m512 a, __m512 b) {
  return Join(_mm256_unpackhi_ps(Low(a), Low(b)), _mm256_unpackhi_ps(High(a), High(b)));
}
EMULATED_AVX512 __m512i permutexvar_epi16(__m512i index, __m512i a) {
  const UInt16x32 from = (UInt16x32)a, places = (UInt16x32)index;
  UInt16x32 result;
  for (int i = 0; i < 32; ++i) result[i] = from[places[i] & 31];
  return (__m512i)result;
}

// ---- bfloat16 (AVX512_BF16).
EMULATED_AVX512 __m512 DenormalsAreZero(__m512 v) {
  const Int32x16 bits = (Int32x16)v, normal = (bits & 0x7f800000) != 0;
  return (__m512)(bits & (normal | static_cast<int32_t>(0x80000000)));  // the sign stays
}
// convert_fp32_to_bfloat16 of the SDM, in the low half of each lane. Ties go to even, denormals
// become zero, and NaN becomes quiet.
EMULATED_AVX512 UInt32x16 ToBFloat16(__m512 v) {
  const UInt32x16 bits = (UInt32x16)DenormalsAreZero(v), high = bits >> 16;
  const UInt32x16 rounded = (bits + 0x7fffu + (high & 1u)) >> 16;
  return (bits & 0x7fffffffu) > 0x7f800000u ? high | 0x40u : rounded;
}
EMULATED_AVX512 __m256bh cvtneps_pbh(__m512 v) {
  return (__m256bh) __builtin_convertvector(ToBFloat16(v), UInt16x16);
}
// `low` fills the lower sixteen places, although it comes second.
EMULATED_AVX512 __m512bh cvtne2ps_pbh(__m512 high, __m512 low) {
  const __m256bh halves[2] = {cvtneps_pbh(low), cvtneps_pbh(high)};
  __m512bh result;
  std::memcpy(&result, halves, sizeof result);
  return result;
}
// Two fused multiply-adds a lane, the odd elements first. Denormal operands and results become
// zero. The processor decides whether a result is denormal before it rounds it, so a result within
// 2^-150 of the least normal number may stay here and vanish there.
EMULATED_AVX512 __m512 dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  const Int32x16 a_bits = (Int32x16)a, b_bits = (Int32x16)b;
  constexpr int32_t kUpper = static_cast<int32_t>(0xffff0000u);
  const auto product = [](__m512 c, Int32x16 x, Int32x16 y) {
    return DenormalsAreZero(fmadd_ps(DenormalsAreZero((__m512)x), DenormalsAreZero((__m512)y), c));
  };
  sum = product(DenormalsAreZero(sum), a_bits & kUpper, b_bits & kUpper);
  return product(sum, a_bits << 16, b_bits << 16);
}

#undef EMULATED_AVX512

}  // namespace emulated_avx512

// Some of the compiler's intrinsics are macros themselves, so all names are freed first.
#undef _mm512_loadu_ps
#undef _mm512_storeu_ps
#undef _mm512_load_si512
#undef _mm512_storeu_si512
#undef _mm512_maskz_loadu_ps
#undef _mm512_maskz_loadu_epi16
#undef _mm256_maskz_loadu_epi16
#undef _mm512_mask_storeu_ps
#undef _mm256_mask_storeu_epi16
#undef _mm_mask_storeu_epi8
#undef _mm512_setzero_ps
#undef _mm512_setzero_si512
#undef _mm512_set1_ps
#undef _mm512_set1_epi32
#undef _mm512_setr_epi32
#undef _mm512_add_ps
#undef _mm512_sub_ps
#undef _mm512_mul_ps
#undef _mm512_div_ps
#undef _mm512_fmadd_ps
#undef _mm512_fmsub_ps
#undef _mm512_fnmadd_ps
#undef _mm512_max_ps
#undef _mm512_min_ps
#undef _mm512_abs_ps
#undef _mm512_and_ps
#undef _mm512_or_ps
#undef _mm512_roundscale_ps
#undef _mm512_scalef_ps
#undef _mm512_reduce_add_ps
#undef _mm512_reduce_max_ps
#undef _mm512_reduce_add_epi32
#undef _mm512_reduce_max_epi32
#undef _mm512_dpbusd_epi32
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtepi32_epi8
#undef _mm512_add_epi32
#undef _mm512_max_epi32
#undef _mm512_and_si512
#undef _mm512_or_si512
#undef _mm512_slli_epi32
#undef _mm512_srli_epi32
#undef _mm512_castsi512_ps
#undef _mm512_castps_si512
#undef _mm512_cmp_ps_mask
#undef _mm512_cmpge_epi32_mask
#undef _mm512_cmple_epi32_mask
#undef _mm512_mask_mov_epi32
#undef _mm512_mask_mov_ps
#undef _mm512_maskz_mov_ps
#undef _mm512_maskz_sub_ps
#undef _mm512_cvtps_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepi32_epi16
#undef _mm512_cvtusepi32_epi8
#undef _mm512_shuffle_ps
#undef _mm512_shuffle_f32x4
#undef _mm512_unpacklo_ps
#undef _mm512_unpackhi_ps
#undef _mm512_permutexvar_epi16
#undef _mm512_cvtneps_pbh
#undef _mm512_cvtne2ps_pbh
#undef _mm512_dpbf16_ps

#define _mm512_loadu_ps emulated_avx512::loadu_ps
#define _mm512_storeu_ps emulated_avx512::storeu_ps
#define _mm512_load_si512 emulated_avx512::load_si512
#define _mm512_storeu_si512 emulated_avx512::storeu_si512
#define _mm512_maskz_loadu_ps emulated_avx512::maskz_loadu_ps
#define _mm512_maskz_loadu_epi16 emulated_avx512::maskz_loadu_epi16
#define _mm256_maskz_loadu_epi16 emulated_avx512::maskz_loadu_epi16_256
#define _mm512_mask_storeu_ps emulated_avx512::mask_storeu_ps
#define _mm256_mask_storeu_epi16 emulated_avx512::mask_storeu_epi16_256
#define _mm_mask_storeu_epi8 emulated_avx512::mask_storeu_epi8_128
#define _mm512_setzero_ps emulated_avx512::setzero_ps
#define _mm512_setzero_si512 emulated_avx512::setzero_si512
#define _mm512_set1_ps emulated_avx512::set1_ps
#define _mm512_set1_epi32 emulated_avx512::set1_epi32
#define _mm512_setr_epi32 emulated_avx512::setr_epi32
#define _mm512_add_ps emulated_avx512::add_ps
#define _mm512_sub_ps emulated_avx512::sub_ps
#define _mm512_mul_ps emulated_avx512::mul_ps
#define _mm512_div_ps emulated_avx512::div_ps
#define _mm512_fmadd_ps emulated_avx512::fmadd_ps
#define _mm512_fmsub_ps emulated_avx512::fmsub_ps
#define _mm512_fnmadd_ps emulated_avx512::fnmadd_ps
#define _mm512_max_ps emulated_avx512::max_ps
#define _mm512_min_ps emulated_avx512::min_ps
#define _mm512_abs_ps emulated_avx512::abs_ps
#define _mm512_and_ps emulated_avx512::and_ps
#define _mm512_or_ps emulated_avx512::or_ps
#define _mm512_roundscale_ps(v, i) emulated_avx512::roundscale_ps<(i)>(v)
#define _mm512_scalef_ps emulated_avx512::scalef_ps
#define _mm512_reduce_add_ps emulated_avx512::reduce_add_ps
#define _mm512_reduce_max_ps emulated_avx512::reduce_max_ps
#define _mm512_reduce_add_epi32 emulated_avx512::reduce_add_epi32
#define _mm512_reduce_max_epi32 emulated_avx512::reduce_max_epi32
#define _mm512_dpbusd_epi32 emulated_avx512::dpbusd_epi32
#define _mm512_cvtepi32_ps emulated_avx512::cvtepi32_ps
#define _mm512_cvtepi32_epi8 emulated_avx512::cvtepi32_epi8
#define _mm512_add_epi32 emulated_avx512::add_epi32
#define _mm512_max_epi32 emulated_avx512::max_epi32
#define _mm512_and_si512 emulated_avx512::and_si512
#define _mm512_or_si512 emulated_avx512::or_si512
#define _mm512_slli_epi32 emulated_avx512::slli_epi32
#define _mm512_srli_epi32 emulated_avx512::srli_epi32
#define _mm512_castsi512_ps emulated_avx512::castsi512_ps
#define _mm512_castps_si512 emulated_avx512::castps_si512
#define _mm512_cmp_ps_mask(a, b, i) emulated_avx512::cmp_ps_mask<(i)>(a, b)
#define _mm512_cmpge_epi32_mask emulated_avx512::cmpge_epi32_mask
#define _mm512_cmple_epi32_mask emulated_avx512::cmple_epi32_mask
#define _mm512_mask_mov_epi32 emulated_avx512::mask_mov_epi32
#define _mm512_mask_mov_ps emulated_avx512::mask_mov_ps
#define _mm512_maskz_mov_ps emulated_avx512::maskz_mov_ps
#define _mm512_maskz_sub_ps emulated_avx512::maskz_sub_ps
#define _mm512_cvtps_epi32 emulated_avx512::cvtps_epi32
#define _mm512_cvtepu16_epi32 emulated_avx512::cvtepu16_epi32
#define _mm512_cvtepi32_epi16 emulated_avx512::cvtepi32_epi16
#define _mm512_cvtusepi32_epi8 emulated_avx512::cvtusepi32_epi8
#define _mm512_shuffle_ps(a, b, i) emulated_avx512::shuffle_ps<(i)>(a, b)
#define _mm512_shuffle_f32x4(a, b, i) emulated_avx512::shuffle_f32x4<(i)>(a, b)
#define _mm512_unpacklo_ps emulated_avx512::unpacklo_ps
#define _mm512_unpackhi_ps emulated_avx512::unpackhi_ps
#define _mm512_permutexvar_epi16 emulated_avx512::permutexvar_epi16
#define _mm512_cvtneps_pbh emulated_avx512::cvtneps_pbh
#define _mm512_cvtne2ps_pbh emulated_avx512::cvtne2ps_pbh
#define _mm512_dpbf16_ps emulated_avx512::dpbf16_ps

#endif  // !__AVX512F__
