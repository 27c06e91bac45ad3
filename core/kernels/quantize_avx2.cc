#include "core/kernels/quantize.h"
#include "core/kernels/vector_avx2.h"

namespace longspan::kernels {
namespace {

__m256 Set(float value) { return _mm256_set1_ps(value); }
__m256 Abs(__m256 x) { return _mm256_andnot_ps(Set(-0.0f), x); }

// exp(x) = 2^n e^r with n = round(x / ln 2) and |r| <= ln 2 / 2: a polynomial of degree 5, relative error 3e-6; x in -87..88.
__m256 Exp(__m256 x) {
  x = _mm256_max_ps(Set(-87.0f), _mm256_min_ps(Set(88.0f), x));  // the second operand is kept if NaN
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, Set(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 r = _mm256_fnmadd_ps(n, Set(-2.12194440e-4f), _mm256_fnmadd_ps(n, Set(0.693359375f), x));  // ln 2 in two parts
  __m256 p = Set(1.0f / 120);
  p = _mm256_fmadd_ps(p, r, Set(1.0f / 24));
  p = _mm256_fmadd_ps(p, r, Set(1.0f / 6));
  p = _mm256_fmadd_ps(p, r, Set(0.5f));
  p = _mm256_fmadd_ps(p, r, Set(1.0f));
  p = _mm256_fmadd_ps(p, r, Set(1.0f));
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
}

__m256 Sigmoid(__m256 x) {
  return _mm256_div_ps(Set(1.0f), _mm256_add_ps(Set(1.0f), Exp(_mm256_sub_ps(_mm256_setzero_ps(), x))));
}
__m256 Tanh(__m256 x) { return _mm256_fmsub_ps(Set(2.0f), Sigmoid(_mm256_add_ps(x, x)), Set(1.0f)); }

// Abramowitz & Stegun 7.1.26: absolute error 1.5e-7.
__m256 Erf(__m256 x) {
  const __m256 sign = _mm256_and_ps(x, Set(-0.0f));
  const __m256 a = Abs(x);
  const __m256 t = _mm256_div_ps(Set(1.0f), _mm256_fmadd_ps(Set(0.3275911f), a, Set(1.0f)));
  __m256 p = Set(1.061405429f);
  p = _mm256_fmadd_ps(p, t, Set(-1.453152027f));
  p = _mm256_fmadd_ps(p, t, Set(1.421413741f));
  p = _mm256_fmadd_ps(p, t, Set(-0.284496736f));
  p = _mm256_fmadd_ps(p, t, Set(0.254829592f));
  const __m256 tail = _mm256_mul_ps(_mm256_mul_ps(p, t), Exp(_mm256_fnmadd_ps(a, a, _mm256_setzero_ps())));
  return _mm256_or_ps(_mm256_sub_ps(Set(1.0f), tail), sign);
}

template <Activation kActivation>
__m256 Activate(__m256 x) {
  if constexpr (kActivation == Activation::kNone) return x;
  if constexpr (kActivation == Activation::kRelu)
    return _mm256_max_ps(_mm256_setzero_ps(), x);  // the second operand is kept if NaN
  if constexpr (kActivation == Activation::kSilu) return _mm256_mul_ps(x, Sigmoid(x));
  if constexpr (kActivation == Activation::kTanh) return Tanh(x);
  if constexpr (kActivation == Activation::kGelu) {
    const __m256 half = _mm256_mul_ps(x, Set(0.5f));
    return _mm256_fmadd_ps(half, Erf(_mm256_mul_ps(x, Set(0.70710678f))), half);
  }
  if constexpr (kActivation == Activation::kGeluTanh) {  // x (1 + tanh u) / 2 = x sigmoid(2u)
    const __m256 u =
        _mm256_mul_ps(_mm256_mul_ps(x, Set(2 * 0.79788456f)), _mm256_fmadd_ps(_mm256_mul_ps(x, x), Set(0.044715f), Set(1.0f)));
    return _mm256_mul_ps(x, Sigmoid(u));
  }
}

float Largest8(__m256 v) {
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

// Of the values seen so far: the largest magnitude, and 0 or NaN.
struct Range {
  __m256 largest = _mm256_setzero_ps();
  __m256 poison = _mm256_setzero_ps();
  void Include(__m256 v) {
    largest = _mm256_max_ps(Abs(v), largest);
    poison = _mm256_fmadd_ps(v, _mm256_setzero_ps(), poison);
  }
};

template <typename T>
float QuantizeRow(const T* x, const Range& range, int64_t width, uint8_t* q) {
  const float largest = Largest8(range.largest);
  const __m256 inverse = Set(largest >= kLeastQuantized && largest < __builtin_inff() ? 127.0f / largest : 0.0f);
  for (int64_t i = 0; i < width; i += 8) {
    const int64_t count = width - i;
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_mul_ps(Load8(x + i, count), inverse));
    const __m256i shifted = _mm256_add_epi32(rounded, _mm256_set1_epi32(128));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(shifted), _mm256_extracti128_si256(shifted, 1));
    const __m128i bytes = _mm_packus_epi16(words, words);  // clamps to 0..255
    if (count >= 8) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(q + i), bytes);
    } else {
      alignas(16) uint8_t some[16];
      _mm_store_si128(reinterpret_cast<__m128i*>(some), bytes);
      for (int64_t k = 0; k < count; ++k) q[i + k] = some[k];
    }
  }
  return largest / 127.0f + Sum8(range.poison);
}

template <typename T>
void QuantizeRowsOf(const QuantizeParams& p, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* x = static_cast<const T*>(p.x) + row * p.width;
    Range range;
    for (int64_t i = 0; i < p.width; i += 8) range.Include(Load8(x + i, p.width - i));
    p.scales[row] = QuantizeRow(x, range, p.width, p.q + row * p.width);
  }
}

__m256 Value(const Accumulators& from, __m256 scale, int64_t row, int64_t width, int64_t i) {
  const int64_t count = width - i;
  const __m256 centred = _mm256_sub_ps(Load8(from.acc + row * width + i, count), Load8(from.offset + i, count));
  return _mm256_fmadd_ps(scale, centred, from.bias ? Load8(from.bias + i, count) : _mm256_setzero_ps());
}

template <Activation kActivation>
void Dequantize(const DequantizeParams& p, int64_t begin, int64_t end, float* scratch) {
  for (int64_t row = begin; row < end; ++row) {
    const __m256 scale = Set(p.scales[row]);
    Range range;
    for (int64_t i = 0; i < p.width; i += 8) {
      const int64_t count = p.width - i;
      __m256 v = Activate<kActivation>(Value(p.main, scale, row, p.width, i));
      if (p.gate.acc) v = _mm256_mul_ps(v, Value(p.gate, scale, row, p.width, i));
      if (p.q) {
        range.Include(count >= 8 ? v : _mm256_and_ps(v, _mm256_castsi256_ps(FirstLanes8(count))));
        Store8(scratch + i, count, v);
      } else if (p.out_type == ElementType::kFloat32) {
        Store8(static_cast<float*>(p.out) + row * p.width + i, count, v);
      } else {
        Store8(static_cast<BFloat16*>(p.out) + row * p.width + i, count, v);
      }
    }
    if (p.q) p.q_scales[row] = QuantizeRow(scratch, range, p.width, p.q + row * p.width);
  }
}

}  // namespace

void QuantizeRowsAvx2(const QuantizeParams& params, int64_t begin, int64_t end) {
  if (params.x_type == ElementType::kFloat32) return QuantizeRowsOf<float>(params, begin, end);
  QuantizeRowsOf<BFloat16>(params, begin, end);
}

void DequantizeRowsAvx2(const DequantizeParams& params, int64_t begin, int64_t end, float* scratch) {
  switch (params.activation) {
    case Activation::kNone:
      return Dequantize<Activation::kNone>(params, begin, end, scratch);
    case Activation::kGelu:
      return Dequantize<Activation::kGelu>(params, begin, end, scratch);
    case Activation::kGeluTanh:
      return Dequantize<Activation::kGeluTanh>(params, begin, end, scratch);
    case Activation::kRelu:
      return Dequantize<Activation::kRelu>(params, begin, end, scratch);
    case Activation::kSilu:
      return Dequantize<Activation::kSilu>(params, begin, end, scratch);
    case Activation::kTanh:
      return Dequantize<Activation::kTanh>(params, begin, end, scratch);
  }
}

}  // namespace longspan::kernels
