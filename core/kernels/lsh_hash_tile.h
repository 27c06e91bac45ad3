// The loop nest behind LshHash, over the vectors of lane_vector.h. kRows rows are multiplied by all
// columns into a scratch of [kRows, columns]; then the first maximum and the first minimum of each
// row and factor are found there. Internal linkage on purpose, for the reason in lane_vector.h.
#pragma once

#include "core/kernels/lane_vector.h"
#include "core/kernels/lsh_hash.h"
#include "core/kernels/scratch.h"

namespace longspan::kernels {
namespace {

// acc[r][v] += sum over i < depth of a[r][i] * b[i * b_stride + v * kLanes ...], kLanes columns of
// b in each vector.
template <int kLanes, int kRows, int kVectors>
inline void MultiplyAdd(const float* const* a, const float* b, int64_t b_stride, int depth,
                        typename Vector<kLanes>::Float (&acc)[kRows][kVectors]) {
  using V = Vector<kLanes>;
  const float* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = a[r];
  for (int i = 0; i < depth; ++i, b += b_stride) {
    typename V::Float column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) column[v] = V::Load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const typename V::Float x = V::Set(rows[r][i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] += x * column[v];
    }
  }
}

// The index of the first maximum of the 2 * half values [y, -y].
template <int kLanes>
int32_t ArgMaxBothSigns(const float* y, int32_t half) {
  using V = Vector<kLanes>;
  typename V::Float high = V::Set(y[0]), low = high;
  int32_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    high = V::Max(high, V::Load(y + i));
    low = V::Min(low, V::Load(y + i));
  }
  float maximum = V::ReduceMax(high), minimum = V::ReduceMin(low);
  for (; i < half; ++i) {
    maximum = y[i] > maximum ? y[i] : maximum;
    minimum = y[i] < minimum ? y[i] : minimum;
  }
  const bool positive = maximum >= -minimum;  // on a tie the first half comes first
  const float wanted = positive ? maximum : minimum;
  int32_t index = 0;
  while (index + 1 < half && y[index] != wanted) ++index;
  return positive ? index : half + index;
}

template <int kLanes, int kRows>
class LshHashTile {
  using V = Vector<kLanes>;

 public:
  LshHashTile(const LshHashParams& params, Scratch& scratch) : p_(params) {
    for (int32_t f = 0; f < p_.num_factors; ++f) {
      columns_a_round_ += p_.factors[f] / 2;
      num_buckets_ *= p_.factors[f];
    }
    columns_ = (columns_a_round_ * p_.num_hashes + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes);
    scores_ = scratch.Floats(static_cast<size_t>(kRows) * columns_);
  }

  void Run() {
    int32_t row = 0;
    for (; row + kRows <= p_.rows; row += kRows) Rows<kRows>(row);
    for (; row + 2 <= p_.rows; row += 2) Rows<2>(row);
    for (; row < p_.rows; ++row) Rows<1>(row);
  }

 private:
  template <int kCount>
  void Rows(int32_t first) {
    const float* x[kCount];
    for (int r = 0; r < kCount; ++r) x[r] = p_.x + (first + r) * p_.x_stride;
    for (int32_t c = 0; c < columns_; c += 2 * kLanes) {
      typename V::Float acc[kCount][2] = {};
      MultiplyAdd<kLanes, kCount, 2>(x, p_.rotations + c, p_.rotation_stride, p_.head_size, acc);
      for (int r = 0; r < kCount; ++r) {
        V::Store(scores_ + static_cast<size_t>(r) * columns_ + c, acc[r][0]);
        V::Store(scores_ + static_cast<size_t>(r) * columns_ + c + kLanes, acc[r][1]);
      }
    }
    for (int r = 0; r < kCount; ++r) {
      const bool read = !p_.key_mask || p_.key_mask[first + r];
      for (int32_t h = 0; h < p_.num_hashes; ++h) {
        const float* y =
            scores_ + static_cast<size_t>(r) * columns_ + static_cast<size_t>(h) * columns_a_round_;
        p_.buckets[h * p_.bucket_stride + first + r] = read ? Bucket(y) : num_buckets_;
      }
    }
  }

  int32_t Bucket(const float* y) const {
    int32_t bucket = 0, place = 1;
    for (int32_t f = 0; f < p_.num_factors; ++f) {
      bucket += place * ArgMaxBothSigns<kLanes>(y, p_.factors[f] / 2);
      place *= p_.factors[f];
      y += p_.factors[f] / 2;
    }
    return bucket;
  }

  const LshHashParams& p_;
  int32_t columns_a_round_ = 0;
  int32_t columns_ = 0;
  int32_t num_buckets_ = 1;
  float* scores_ = nullptr;
};

}  // namespace
}  // namespace longspan::kernels
