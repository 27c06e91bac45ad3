#include "core/search/token_matrix.h"

#include <cmath>

#include "core/kernels/quantize.h"

namespace longspan {
namespace {

// The scale by which a quantised row has unit length; 0 for a row of zeros.
float UnitScale(const uint8_t* row, int64_t width) {
  int64_t squares = 0;
  for (int64_t i = 0; i < width; ++i) {
    const int32_t value = row[i] - 128;
    squares += static_cast<int64_t>(value) * value;
  }
  return squares == 0 ? 0.0f : static_cast<float>(1.0 / std::sqrt(static_cast<double>(squares)));
}

}  // namespace

TokenMatrix::TokenMatrix(int64_t width) : width_(width), stride_((width + 3) / 4 * 4) {}

void TokenMatrix::Reserve(int64_t rows) {
  rows_.reserve(rows * stride_);
  scales_.reserve(rows);
}

void TokenMatrix::Resize(int64_t rows) {
  rows_.resize(rows * stride_, 128);
  scales_.resize(rows);
}

void TokenMatrix::Append(const float* rows, int64_t count) {
  const int64_t before = num_rows();
  Resize(before + count);
  Set(before, rows, count);
}

void TokenMatrix::Set(int64_t first, const float* rows, int64_t count) {
  // Rows of a width that is no multiple of four lie apart.
  const int64_t at_once = stride_ == width_ ? count : 1;
  for (int64_t row = 0; row < count; row += at_once)
    kernels::QuantizeRows({.x = rows + row * width_,
                           .q = rows_.data() + (first + row) * stride_,
                           .scales = scales_.data() + first + row,
                           .rows = at_once,
                           .width = width_});
  for (int64_t row = first; row < first + count; ++row)
    scales_[row] = UnitScale(rows_.data() + row * stride_, width_);
}

}  // namespace longspan
