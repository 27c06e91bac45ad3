#include "core/kernels/quantize.h"
#include "core/kernels/vector_avx512.h"

namespace longspan::kernels {
namespace {

__m512 Set(float value) { return _mm512_set1_ps(value); }

// exp(x) = 2^n e^r with n = round(x / ln 2) and |r| <= ln 2 / 2: a polynomial of degree 5, relative error 3e-6. NaN
// stays NaN: of two operands the second one is kept if either is NaN.
__m512 Exp(__m512 x) {
  x = _mm512_min_ps(Set(89.0f), _mm512_max_ps(Set(-104.0f), x));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, Set(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_fnmadd_ps(n, Set(-2.12194440e-4f), _mm512_fnmadd_ps(n, Set(0.693359375f), x));  // ln 2 in two parts
  __m512 p = Set(1.0f / 120);
  p = _mm512_fmadd_ps(p, r, Set(1.0f / 24));
  p = _mm512_fmadd_ps(p, r, Set(1.0f / 6));
  p = _mm512_fmadd_ps(p, r, Set(0.5f));
  p = _mm512_fmadd_ps(p, r, Set(1.0f));
  p = _mm512_fmadd_ps(p, r, Set(1.0f));
  return _mm512_scalef_ps(p, n);
}

__m512 Sigmoid(__m512 x) {
  return _mm512_div_ps(Set(1.0f), _mm512_add_ps(Set(1.0f), Exp(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}
__m512 Tanh(__m512 x) { return _mm512_fmsub_ps(Set(2.0f), Sigmoid(_mm512_add_ps(x, x)), Set(1.0f)); }

// Abramowitz & Stegun 7.1.26: absolute error 1.5e-7.
__m512 Erf(__m512 x) {
  const __m512 sign = _mm512_and_ps(x, Set(-0.0f));
  const __m512 a = _mm512_abs_ps(x);
  const __m512 t = _mm512_div_ps(Set(1.0f), _mm512_fmadd_ps(Set(0.3275911f), a, Set(1.0f)));
  __m512 p = Set(1.061405429f);
  p = _mm512_fmadd_ps(p, t, Set(-1.453152027f));
  p = _mm512_fmadd_ps(p, t, Set(1.421413741f));
  p = _mm512_fmadd_ps(p, t, Set(-0.284496736f));
  p = _mm512_fmadd_ps(p, t, Set(0.254829592f));
  const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(p, t), Exp(_mm512_fnmadd_ps(a, a, _mm512_setzero_ps())));
  return _mm512_or_ps(_mm512_sub_ps(Set(1.0f), tail), sign);
}

template <Activation kActivation>
__m512 Activate(__m512 x) {
  if constexpr (kActivation == Activation::kNone) return x;
  if constexpr (kActivation == Activation::kRelu)
    return _mm512_max_ps(_mm512_setzero_ps(), x);  // the second operand is kept if NaN
  if constexpr (kActivation == Activation::kSilu) return _mm512_mul_ps(x, Sigmoid(x));
  if constexpr (kActivation == Activation::kTanh) return Tanh(x);
  if constexpr (kActivation == Activation::kGelu) {
    const __m512 half = _mm512_mul_ps(x, Set(0.5f));
    return _mm512_fmadd_ps(half, Erf(_mm512_mul_ps(x, Set(0.70710678f))), half);
  }
  if constexpr (kActivation == Activation::kGeluTanh) {  // x (1 + tanh u) / 2 = x sigmoid(2u)
    const __m512 u =
        _mm512_mul_ps(_mm512_mul_ps(x, Set(2 * 0.79788456f)), _mm512_fmadd_ps(_mm512_mul_ps(x, x), Set(0.044715f), Set(1.0f)));
    return _mm512_mul_ps(x, Sigmoid(u));
  }
}

// Of the values seen so far: the largest magnitude, and 0 or NaN.
struct Range {
  __m512 largest = _mm512_setzero_ps();
  __m512 poison = _mm512_setzero_ps();
  void Include(__m512 v) {
    largest = _mm512_max_ps(largest, _mm512_abs_ps(v));
    poison = _mm512_fmadd_ps(v, _mm512_setzero_ps(), poison);
  }
};

template <typename T>
float QuantizeRow(const T* x, const Range& range, int64_t width, uint8_t* q) {
  const float largest = _mm512_reduce_max_ps(range.largest);
  const __m512 inverse = Set(largest >= kLeastQuantized && largest < __builtin_inff() ? 127.0f / largest : 0.0f);
  for (int64_t i = 0; i < width; i += 16) {
    const __mmask16 lanes = LaneMask(width, i);
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(Load16(x + i, lanes), inverse));
    const __m512i shifted = _mm512_add_epi32(rounded, _mm512_set1_epi32(128));
    _mm_mask_storeu_epi8(q + i, lanes, _mm512_cvtusepi32_epi8(_mm512_max_epi32(shifted, _mm512_setzero_si512())));
  }
  return largest / 127.0f + _mm512_reduce_add_ps(range.poison);
}

template <typename T>
void QuantizeRowsOf(const QuantizeParams& p, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* x = static_cast<const T*>(p.x) + row * p.width;
    Range range;
    for (int64_t i = 0; i < p.width; i += 16) range.Include(Load16(x + i, LaneMask(p.width, i)));
    p.scales[row] = QuantizeRow(x, range, p.width, p.q + row * p.width);
  }
}

__m512 Value(const Accumulators& from, __m512 scale, int64_t row, int64_t width, int64_t i, __mmask16 lanes) {
  const __m512 centred = _mm512_sub_ps(Load16(from.acc + row * width + i, lanes), Load16(from.offset + i, lanes));
  return _mm512_fmadd_ps(scale, centred, from.bias ? Load16(from.bias + i, lanes) : _mm512_setzero_ps());
}

template <Activation kActivation>
void Dequantize(const DequantizeParams& p, int64_t begin, int64_t end, float* scratch) {
  for (int64_t row = begin; row < end; ++row) {
    const __m512 scale = Set(p.scales[row]);
    Range range;
    for (int64_t i = 0; i < p.width; i += 16) {
      const __mmask16 lanes = LaneMask(p.width, i);
      __m512 v = Activate<kActivation>(Value(p.main, scale, row, p.width, i, lanes));
      if (p.gate.acc) v = _mm512_mul_ps(v, Value(p.gate, scale, row, p.width, i, lanes));
      if (p.q) {
        range.Include(_mm512_maskz_mov_ps(lanes, v));
        Store16(scratch + i, lanes, v);
      } else if (p.out_type == ElementType::kFloat32) {
        Store16(static_cast<float*>(p.out) + row * p.width + i, lanes, v);
      } else {
        Store16(static_cast<BFloat16*>(p.out) + row * p.width + i, lanes, v);
      }
    }
    if (p.q) p.q_scales[row] = QuantizeRow(scratch, range, p.width, p.q + row * p.width);
  }
}

}  // namespace

void QuantizeRowsAvx512(const QuantizeParams& params, int64_t begin, int64_t end) {
  if (params.x_type == ElementType::kFloat32) return QuantizeRowsOf<float>(params, begin, end);
  QuantizeRowsOf<BFloat16>(params, begin, end);
}

void DequantizeRowsAvx512(const DequantizeParams& params, int64_t begin, int64_t end, float* scratch) {
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
