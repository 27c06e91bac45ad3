// QuantizeRows and DequantizeRows over vectors of one instruction set: the arithmetic is written
// once. `Elements` says how an instruction set reads and writes rows:
//
//   V, kLanes                 Vector<kLanes>
//   Load(p, count)            the first `count` elements at p, float32 or bfloat16, or kLanes where
//                             count is larger, with zeros behind them
//   Store(p, count, v)        writes that many elements and nothing else, rounded to the type of p
//   FirstLanes(v, count)      the first `count` lanes of v, zeros behind them
//   StoreBytes(q, count, v)   writes round(v) + 128, clamped to 0..255; for this file only
//
// layer_norm_tile.h and rope_tile.h take the same, from vector_avx512.h and vector_avx2.h. Quantize
// needs neither Store nor FirstLanes.
//
// The order of the operands of V::Max matters here: where one of them is NaN it gives the second.
// Internal linkage on purpose, for the reason in lane_vector.h.
#pragma once

#include "core/kernels/activation_tile.h"
#include "core/kernels/bfloat16.h"
#include "core/kernels/lane_vector.h"
#include "core/kernels/quantize.h"

namespace longspan::kernels {
namespace {

template <class Elements>
class RowQuantizer {
 public:
  static void Quantize(const QuantizeParams& p, int64_t begin, int64_t end) {
    if (p.x_type == ElementType::kFloat32) return QuantizeOf<float>(p, begin, end);
    QuantizeOf<BFloat16>(p, begin, end);
  }

  static void Dequantize(const DequantizeParams& p, int64_t begin, int64_t end, float* scratch) {
    switch (p.activation) {
      case Activation::kNone:
        return DequantizeWith<Activation::kNone>(p, begin, end, scratch);
      case Activation::kGelu:
        return DequantizeWith<Activation::kGelu>(p, begin, end, scratch);
      case Activation::kGeluTanh:
        return DequantizeWith<Activation::kGeluTanh>(p, begin, end, scratch);
      case Activation::kRelu:
        return DequantizeWith<Activation::kRelu>(p, begin, end, scratch);
      case Activation::kSilu:
        return DequantizeWith<Activation::kSilu>(p, begin, end, scratch);
      case Activation::kTanh:
        return DequantizeWith<Activation::kTanh>(p, begin, end, scratch);
    }
  }

 private:
  using V = typename Elements::V;
  using Float = typename V::Float;

  static Float Abs(Float x) { return V::FromBits(V::Bits(x) & 0x7fffffff); }

  // What a row's scale is made of, in each lane.
  struct Range {
    Float largest = {};  // magnitude so far
    Float poison = {};   // 0, or NaN once a value was NaN or infinite
    void Include(Float v) {
      largest = V::Max(Abs(v), largest);
      poison = v * Float{} + poison;
    }
  };

  template <typename T>
  static float QuantizeRow(const T* x, const Range& range, int64_t width, uint8_t* q) {
    const float largest = V::ReduceMax(range.largest);
    const float inverse =
        largest >= kLeastQuantized && largest < __builtin_inff() ? 127.0f / largest : 0.0f;
    for (int64_t i = 0; i < width; i += Elements::kLanes)
      Elements::StoreBytes(q + i, width - i, Elements::Load(x + i, width - i) * inverse);
    return largest / 127.0f + V::ReduceAdd(range.poison);
  }

  template <typename T>
  static void QuantizeOf(const QuantizeParams& p, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(p.x) + row * p.width;
      Range range;
      for (int64_t i = 0; i < p.width; i += Elements::kLanes)
        range.Include(Elements::Load(x + i, p.width - i));
      p.scales[row] = QuantizeRow(x, range, p.width, p.q + row * p.width);
    }
  }

  static Float Value(const Accumulators& from, float scale, int64_t row, int64_t width, int64_t i) {
    const int64_t count = width - i;
    const Float centred =
        Elements::Load(from.acc + row * width + i, count) - Elements::Load(from.offset + i, count);
    return scale * centred + (from.bias ? Elements::Load(from.bias + i, count) : Float{});
  }

  template <Activation kActivation>
  static void DequantizeWith(const DequantizeParams& p, int64_t begin, int64_t end,
                             float* scratch) {
    for (int64_t row = begin; row < end; ++row) {
      const float scale = p.scales[row];
      Range range;
      for (int64_t i = 0; i < p.width; i += Elements::kLanes) {
        const int64_t count = p.width - i;
        Float v =
            Activations<V>::template Activate<kActivation>(Value(p.main, scale, row, p.width, i));
        if (p.gate.acc) v *= Value(p.gate, scale, row, p.width, i);
        if (p.q) {
          range.Include(Elements::FirstLanes(v, count));
          Elements::Store(scratch + i, count, v);
        } else if (p.out_type == ElementType::kFloat32) {
          Elements::Store(static_cast<float*>(p.out) + row * p.width + i, count, v);
        } else {
          Elements::Store(static_cast<BFloat16*>(p.out) + row * p.width + i, count, v);
        }
      }
      if (p.q) p.q_scales[row] = QuantizeRow(scratch, range, p.width, p.q + row * p.width);
    }
  }
};

}  // namespace
}  // namespace longspan::kernels
