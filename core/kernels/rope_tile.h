// RopeToken over vectors of one instruction set: the arithmetic is written once. `Elements` is
// Avx512Elements or Avx2Elements; quantize_tile.h says what they give. Internal linkage on purpose,
// for the reason in lane_vector.h.
#pragma once

#include "core/kernels/bfloat16.h"
#include "core/kernels/lane_vector.h"
#include "core/kernels/rope.h"

namespace longspan::kernels {
namespace {

template <class Elements>
class TokenRotator {
 public:
  static void Run(const RopeParams& p, int64_t token, int64_t position) {
    if (p.type == ElementType::kFloat32) return Rotate<float>(p, token, position);
    Rotate<BFloat16>(p, token, position);
  }

 private:
  using V = typename Elements::V;
  using Float = typename V::Float;

  // Heads are the inner loop: they share the cosines and sines, which stay in registers.
  template <typename T>
  static void Rotate(const RopeParams& p, int64_t token, int64_t position) {
    const int64_t half = p.head_size / 2;
    const float* cos = p.cos + position * half;
    const float* sin = p.sin + position * half;
    ForEachVector<Elements::kLanes>(
        half, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
          const Float c = Elements::Load(cos + i, count), s = Elements::Load(sin + i, count);
          T* a = static_cast<T*>(p.x) + token * p.token_stride + i;
          for (int64_t head = 0; head < p.num_heads; ++head, a += p.head_size) {
            const Float first = Elements::Load(a, count), second = Elements::Load(a + half, count);
            Elements::Store(a, count, V::MultiplySubtract(first, c, second * s));
            Elements::Store(a + half, count, V::MultiplyAdd(second, c, first * s));
          }
        });
  }
};

}  // namespace
}  // namespace longspan::kernels
