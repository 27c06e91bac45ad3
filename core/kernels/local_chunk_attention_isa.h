// What ChunkAttentionTile (local_chunk_attention_tile.h) needs to know of an instruction set and an
// element type. ChunkIsa is written in the compiler's vector types for any number of lanes. Where
// an instruction set can do something better, a struct in the file of that set derives from it.
//
// A unit is 32 bits: one float32, or a pair of bfloat16. A pair holds two neighbouring dimensions
// of a query or key, or one dimension of the values of two neighbouring keys. The first of a pair
// lies in the low half. Units pass through vectors of floats, whatever they mean.
//
// Internal linkage on purpose, for the reason in lane_vector.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/kernels/bfloat16.h"
#include "core/kernels/lane_vector.h"

namespace longspan::kernels {
namespace {

// The micro tiles: kGroupKeys keys by kQueryVectors vectors of queries for the scores, kValueRows
// rows by kValueVectors vectors of dimensions for the values. Sixteen registers hold 6 x 2 sums,
// two vectors and a broadcast; the 32 of AVX-512 hold 6 x 4 sums.
template <int kLanes>
struct ChunkTileShape {
  static constexpr int kGroupKeys = kLanes == 4 ? 4 : 6;
  static constexpr int kQueryVectors = kLanes == 16 ? 4 : 2;
  static constexpr int kRows = kLanes == 4 ? 16 : kLanes == 8 ? 32 : 64;  // queries in a block
  static constexpr int kValueRows = kLanes == 4 ? 4 : 6;
  static constexpr int kValueVectors = kLanes == 16 ? 4 : 2;
};

template <int kLanesT, class ElementT>
struct ChunkIsa {
  using V = Vector<kLanesT>;
  using Float = typename V::Float;
  using Element = ElementT;
  static constexpr int kLanes = kLanesT;
  static constexpr int kPack = sizeof(int32_t) / sizeof(Element);  // elements in a unit

  // sum + a b, summed over the elements of a unit.
  static Float Dot(Float sum, Float a, Float b) {
    if constexpr (kPack == 1)
      return sum + a * b;
    else
      return (sum + Low(a) * Low(b)) + High(a) * High(b);
  }
  static Float Low(Float units) { return V::FromBits(V::Bits(units) << 16); }
  static Float High(Float units) {
    return V::FromBits(V::Bits(units) & static_cast<int32_t>(0xffff0000u));
  }

  // The weights of kPack neighbouring keys as units, rounded to the element type.
  static Float PackWeights(const Float (&p)[kPack]) {
    if constexpr (kPack == 1) {
      return p[0];
    } else {
      const auto low = Round(p[0]), high = Round(p[1]);
      return V::FromBits(((low >> 16) & 0xffff) | (high & static_cast<int32_t>(0xffff0000u)));
    }
  }
  // The nearest bfloat16 of finite p, ties to even, in the upper half. The lower half holds a rest
  // without meaning.
  static typename V::Int Round(Float p) {
    const auto bits = V::Bits(p);
    return bits + 0x7fff + ((bits >> 16) & 1);
  }

  // Stores the first `count` lanes (all where count is larger) as elements, and nothing else.
  static void StoreSome(float* target, Float v, int count) {
    if (count >= kLanes) return V::Store(target, v);
    for (int i = 0; i < count; ++i) target[i] = v[i];
  }
  static void StoreSome(BFloat16* target, Float v, int count) {
    float values[kLanes];
    V::Store(values, v);
    for (int i = 0; i < std::min(count, kLanes); ++i) FromFloat(values[i], target + i);
  }

  // Copies a row of `count` elements as it lies in memory. A last unit that is not whole is filled
  // with zeros.
  static void CopyRow(const Element* source, int32_t count, float* units) {
    int32_t d = 0;
    for (; d + kLanes * kPack <= count; d += kLanes * kPack)
      V::Store(units + d / kPack, V::Load(reinterpret_cast<const float*>(source + d)));
    if (d == count) return;
    if (kPack == 2 && count % 2 == 1) units[count / 2] = 0.0f;
    std::memcpy(units + d / kPack, source + d, (count - d) * sizeof(Element));
  }

  // Writes `width` units: the dimensions [first, first + width) of the values of a unit's keys.
  // `sources` are the kPack rows of values, of `count` dimensions. What lies behind dimension
  // `count` is zeros, and so is a source that is null.
  static void CopyValues(const Element* const* sources, int32_t first, int32_t count, int32_t width,
                         float* units) {
    const int32_t some = sources[0] ? std::clamp(count - first, 0, width) : 0;
    if constexpr (kPack == 1) {
      int32_t d = 0;
      for (; d + kLanes <= some; d += kLanes) V::Store(units + d, V::Load(sources[0] + first + d));
      for (; d < width; ++d) units[d] = d < some ? sources[0][first + d] : 0.0f;
    } else {
      uint32_t* pairs = reinterpret_cast<uint32_t*>(units);
      for (int32_t d = 0; d < some; ++d) {
        const uint32_t high = sources[1] ? sources[1][first + d].bits : 0;
        pairs[d] = sources[0][first + d].bits | high << 16;
      }
      std::fill(pairs + some, pairs + width, 0u);
    }
  }

  // Of the `count` elements of a row.
  static float SumOfSquares(const Element* row, int32_t count) {
    Float squares = {};
    float rest = 0;
    int32_t d = 0;
    for (; d + kLanes * kPack <= count; d += kLanes * kPack) {
      const Float units = V::Load(reinterpret_cast<const float*>(row + d));
      squares = Dot(squares, units, units);
    }
    for (; d < count; ++d) rest += ToFloat(row[d]) * ToFloat(row[d]);
    return V::ReduceAdd(squares) + rest;
  }
};

}  // namespace
}  // namespace longspan::kernels
