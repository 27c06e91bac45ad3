// TokenMatrix: the vectors of a text's tokens as late interaction reads them: int8 with a scale
// each, by which every row is a vector of unit length. A row takes its width and four bytes.
//
// Thread safety: rows that are not the same may be written from several threads at once (Set); all
// else is not synchronised. Proven by late_interaction_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace longspan {

// Rows as kernels::MaxSim reads them. A view.
struct TokenMatrixView {
  const uint8_t* rows = nullptr;  // [rows, stride], as QuantizeRows makes them: 128 is zero
  const float* scales = nullptr;  // [rows]
  int64_t stride = 0;             // bytes
};

class TokenMatrix {
 public:
  // `width`: values of a vector, >= 1.
  explicit TokenMatrix(int64_t width);

  // Rows behind those that are there: [count, width], finite, of any length. A row of zeros stays
  // one, and is similar to nothing.
  void Append(const float* rows, int64_t count);
  void Reserve(int64_t rows);
  // So many rows, those that are new of zeros. Set then writes rows [first, first + count).
  void Resize(int64_t rows);
  void Set(int64_t first, const float* rows, int64_t count);

  int64_t width() const { return width_; }
  int64_t num_rows() const { return static_cast<int64_t>(scales_.size()); }
  int64_t row_stride() const { return stride_; }        // bytes
  const uint8_t* rows() const { return rows_.data(); }  // as QuantizeRows makes them: 128 is zero
  const float* scales() const { return scales_.data(); }
  TokenMatrixView from(int64_t row) const {
    return {rows_.data() + row * stride_, scales_.data() + row, stride_};
  }
  size_t bytes() const { return rows_.capacity() + scales_.capacity() * sizeof(float); }

 private:
  int64_t width_, stride_;
  std::vector<uint8_t> rows_;
  std::vector<float> scales_;
};

}  // namespace longspan
