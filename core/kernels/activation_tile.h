// Activate<kActivation>(x) on vectors of one instruction set (V is a Vector<kLanes>), for kernels
// that apply an activation before they store. The absolute error is 4e-7 (1 + |x|), and NaN stays
// NaN: where an operand of V::Max is NaN it gives the second, which therefore is x. Internal
// linkage on purpose, for the reason in lane_vector.h. Proven by quantize_rows_test and
// packed_gemm_test.
#pragma once

#include "core/kernels/activation.h"
#include "core/kernels/lane_vector.h"

namespace longspan::kernels {
namespace {

template <class V>
class Activations {
 public:
  using Float = typename V::Float;

  template <Activation kActivation>
  static Float Activate(Float x) {
    if constexpr (kActivation == Activation::kNone) return x;
    if constexpr (kActivation == Activation::kRelu) return V::Max(Float{}, x);
    if constexpr (kActivation == Activation::kSilu) return x * Sigmoid(x);
    if constexpr (kActivation == Activation::kTanh) return 2.0f * Sigmoid(x + x) - 1.0f;
    if constexpr (kActivation == Activation::kGelu) {
      const Float half = x * 0.5f;
      return half * Erf(x * 0.70710678f) + half;
    }
    // x (1 + tanh u) / 2 = x sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x^3).
    if constexpr (kActivation == Activation::kGeluTanh)
      return x * Sigmoid(x * (2 * 0.79788456f) * (x * x * 0.044715f + 1.0f));
  }

 private:
  static Float Abs(Float x) { return V::FromBits(V::Bits(x) & 0x7fffffff); }

  // e^x for x <= 0, -inf included: below -128 it is 0 in any case.
  static Float Exp(Float x) { return V::ExpNonPositive(V::Max(V::Set(-128.0f), x)); }

  static Float Sigmoid(Float x) {
    const Float e = Exp(-Abs(x));
    return (x < 0.0f ? e : V::Set(1.0f)) / (1.0f + e);
  }

  // x P(x^2) / Q(x^2) for |x| <= 3.925, where erf rounds to 1, fitted for the least relative error
  // (2e-8 at most; with float32 arithmetic 3e-7). Beyond that it is exactly 1 or -1, so that
  // gelu(x) is exactly x or 0.
  static Float Erf(Float x) {
    const Float t = x * x;
    Float p = t * 2.0460229e-6f + 2.8484486e-4f;
    Float q = t * 3.8047798e-5f + 1.1638697e-3f;
    p = p * t + 3.7725971e-3f;
    q = q * t + 1.4983292e-2f;
    p = p * t + 5.2769445e-2f;
    q = q * t + 1.14183165e-1f;
    p = p * t + 1.9059481e-1f;
    q = q * t + 5.0224298e-1f;
    p = p * t + 1.1283791f;
    q = q * t + 1.0f;
    const Float inside = x * p / q;
    return x > 3.925f ? V::Set(1.0f) : x < -3.925f ? V::Set(-1.0f) : inside;
  }
};

}  // namespace
}  // namespace longspan::kernels
