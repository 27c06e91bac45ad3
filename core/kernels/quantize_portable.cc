// QuantizeRows and DequantizeRows as plain loops over elements: for processors without AVX2, and
// what tests compare the other implementations with.
#include <algorithm>
#include <cmath>

#include "core/kernels/bfloat16.h"
#include "core/kernels/quantize.h"

namespace longspan::kernels {
namespace {

float Activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return 0.5f * x * (1 + std::erf(x * 0.70710678f));
    case Activation::kGeluTanh:
      return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

template <typename T>
float QuantizeRow(const T* x, int64_t width, uint8_t* q) {
  float largest = 0;
  float poison = 0;  // 0, or NaN once a value was NaN or infinite
  for (int64_t i = 0; i < width; ++i) {
    largest = std::max(largest, std::fabs(ToFloat(x[i])));
    poison += ToFloat(x[i]) * 0.0f;
  }
  const float inverse = largest >= kLeastQuantized && largest < INFINITY ? 127.0f / largest : 0;
  for (int64_t i = 0; i < width; ++i) {
    const float scaled = ToFloat(x[i]) * inverse;
    q[i] = static_cast<uint8_t>(
        scaled == scaled ? std::clamp(std::nearbyint(scaled), -127.0f, 127.0f) + 128.0f : 128.0f);
  }
  return largest / 127.0f + poison;
}

float Value(const Accumulators& from, float scale, int64_t row, int64_t width, int64_t i) {
  return scale * (from.acc[row * width + i] - from.offset[i]) + (from.bias ? from.bias[i] : 0.0f);
}

}  // namespace

void QuantizeRowsPortable(const QuantizeParams& p, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    uint8_t* q = p.q + row * p.width;
    p.scales[row] =
        p.x_type == ElementType::kFloat32
            ? QuantizeRow(static_cast<const float*>(p.x) + row * p.width, p.width, q)
            : QuantizeRow(static_cast<const BFloat16*>(p.x) + row * p.width, p.width, q);
  }
}

void DequantizeRowsPortable(const DequantizeParams& p, int64_t begin, int64_t end, float* scratch) {
  for (int64_t row = begin; row < end; ++row) {
    const float scale = p.scales[row];
    for (int64_t i = 0; i < p.width; ++i) {
      scratch[i] = Activate(p.activation, Value(p.main, scale, row, p.width, i));
      if (p.gate.acc) scratch[i] *= Value(p.gate, scale, row, p.width, i);
    }
    if (p.q) {
      p.q_scales[row] = QuantizeRow(scratch, p.width, p.q + row * p.width);
    } else if (p.out_type == ElementType::kFloat32) {
      std::copy(scratch, scratch + p.width, static_cast<float*>(p.out) + row * p.width);
    } else {
      for (int64_t i = 0; i < p.width; ++i)
        FromFloat(scratch[i], static_cast<BFloat16*>(p.out) + row * p.width + i);
    }
  }
}

}  // namespace longspan::kernels
