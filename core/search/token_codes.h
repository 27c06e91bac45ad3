// TokenCodes: the vectors of a text's tokens as they are kept, int8 or two bits a value, and the
// means of its cells, which stand for their tokens where a collection is scanned.
//
//   int8     the rows of a TokenMatrix: width + 4 bytes each
//   2 bits   width / 4 + 4 bytes each: what a unit vector differs from the mean of its cell, as
//            four levels that suit a normal distribution best (Max, "Quantizing for Minimum
//            Distortion", 1960), times a step of its own:
//              v[i] = mean[i] + step * level[code[i]]     level = -1.510, -0.453, 0.453, 1.510
//            Neighbours are alike, so the difference is small, and so is its error. A mean per cell
//            needs no training, unlike the centroids of PLAID (arXiv 2205.09707), so texts come and
//            go one by one.
//
// Views: the bytes outlive them. Thread safety: const methods from several threads. Proven by
// token_codes_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/search/token_matrix.h"

namespace longspan {

enum class TokenFormat : uint32_t { kInt8 = 1, kTwoBit = 2 };

// The means of the unit vectors of each cell.
struct CellMeans {
  const uint8_t* rows = nullptr;  // [cells, stride], as QuantizeRows makes them: 128 is zero
  const float* scales = nullptr;  // [cells]: mean = scale * (row - 128)
  int64_t stride = 0;             // bytes
};

// Bytes of a row without its scale.
int64_t CodeBytes(TokenFormat format, int64_t width);

struct TokenCodes {
  TokenFormat format = TokenFormat::kInt8;
  int64_t width = 0;
  const uint8_t* rows = nullptr;  // [rows, CodeBytes]
  const float* scales = nullptr;  // [rows]: of int8 to unit length, of 2 bits the step
};

// Owns what the views show.
struct PackedCodes {
  std::vector<uint8_t> mean_rows, rows;
  std::vector<float> mean_scales, scales;
};
// Rows [begin, end) of `rows`, whose cells begin with `begin`.
void AppendCodes(const TokenMatrix& rows, int64_t begin, int64_t end, int64_t cell_tokens,
                 TokenFormat format, PackedCodes* out);

// Appends rows [first, first + count), which are all of cell `cell`, to `out`.
void DecodeCodes(const TokenCodes& codes, const CellMeans& means, int64_t cell, int64_t first,
                 int64_t count, TokenMatrix* out);

}  // namespace longspan
