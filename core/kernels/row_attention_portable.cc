// RowTaskTile for any processor: vectors of four floats (SSE2, NEON) by the compiler's own vector
// types. 16 rows a block; 3 x 4 and 4 x 2 sums.
#include <cstring>

#include "core/kernels/row_attention_tile.h"

namespace longspan::kernels {
namespace {

typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));

template <class ElementT>
struct Portable {
  using Element = ElementT;
  using Float = Float4;
  static constexpr int kLanes = 4;
  static constexpr int kRowVectors = 4;
  static constexpr int kGroupKeys = 3;
  static constexpr int kPack = 1;
  static constexpr int kValueVectors = 2;
  static constexpr int ValueRows(int) { return 4; }

  static Float Load(const float* p) {
    Float v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void Store(float* p, Float v) { std::memcpy(p, &v, sizeof v); }
  static Float Set(float x) { return Float{} + x; }
  static Float Broadcast(const float* p) { return Set(*p); }
  static Float Max(Float a, Float b) { return a > b ? a : b; }
  static Float MultiplyAdd(Float a, Float b, Float c) { return a * b + c; }
  static Float Dot(Float sum, Float a, Float b) { return sum + a * b; }

  // 2^x for x <= 0, as 2^n 2^r with |r| <= 1/2: the relative error is 1e-7. The result is 0 below
  // -126, and NaN stays NaN.
  static Float Exp2(Float x) {
    const Float n = (x + kRoundToInteger) - kRoundToInteger;
    const Float r = x - n;
    Float p = r * kExp2Terms[5] + kExp2Terms[4];
    for (int i = 3; i >= 0; --i) p = p * r + kExp2Terms[i];
    const Float in_range = x < -126.0f ? Set(-126.0f) : n;
    const Int4 bits = (__builtin_convertvector(in_range, Int4) + 127) << 23;
    Float power;
    std::memcpy(&power, &bits, sizeof power);
    return x < -126.0f ? Float{} : p * power;
  }

  static Float MaskRows(Float s, int32_t first_row, int32_t lo, int32_t hi) {
    const Int4 row = Int4{0, 1, 2, 3} + first_row;
    return ((row >= lo) & (row <= hi)) ? s : Set(kHiddenScore);
  }

  static Float LoadUnits(const Element* source, int count) {
    Float v = {};
    for (int i = 0; i < std::min(count, kLanes); ++i) v[i] = ToFloat(source[i]);
    return v;
  }
  static void StoreUnits(float* target, int count, Float v) {
    for (int i = 0; i < std::min(count, kLanes); ++i) target[i] = v[i];
  }
  static Float LoadValues(const Element* const* sources, int first, int count) {
    return LoadUnits(sources[0] + first, count);
  }
  static void StoreElements(Element* target, int count, Float v) {
    for (int i = 0; i < std::min(count, kLanes); ++i) FromFloat(v[i], target + i);
  }
  static void Transpose(Float (&rows)[kLanes]) {
    const Float a = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
    const Float b = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
    const Float c = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    const Float d = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    rows[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
  }
  static Float PackWeights(const Float (&p)[1]) { return p[0]; }
};

}  // namespace

void RunRowTasksPortable(const SlidingWindowAttentionParams& tensors, const RowTask* tasks,
                         int64_t num_tasks) {
  if (tensors.type == ElementType::kFloat32)
    return RunTasks<Portable<float>>(tensors, tasks, num_tasks);
  RunTasks<Portable<BFloat16>>(tensors, tasks, num_tasks);
}

}  // namespace longspan::kernels
