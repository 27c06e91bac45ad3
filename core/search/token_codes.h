// TokenCodes: the vectors of a text's tokens as they are kept, int8 or two bits a value, and the
// means of its cells, which stand for their tokens where a collection is scanned.
//
//   int8     the rows of a TokenMatrix: width + 4 bytes each
//   2 bits   width / 4 + 5 bytes each. Neighbours are alike, so what is coded is how a unit vector
//            differs from the mean of its cell, by four levels that suit a normal distribution best
//            (Max, "Quantizing for Minimum Distortion", 1960: +-0.453 and +-1.510 deviations):
//              row[i] = ((256 - blend) * mean[i] + blend * level[i]) / 256,  level = +-38 or +-127
//            A mean of each cell needs no training, unlike the centroids of PLAID (arXiv
//            2205.09707), so texts come and go one by one. Byte j holds the codes of values j,
//            j + width / 4, j + width / 2, ..., its lowest bits the first.
//
// All arithmetic that makes rows is of integers: every machine decodes the same bits.
//
// Views: the bytes outlive them. Thread safety: const methods from several threads. Proven by
// token_codes_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/search/token_matrix.h"

namespace longspan {

enum class TokenFormat : uint32_t { kInt8 = 1, kTwoBit = 2 };

struct TokenCodes {
  TokenFormat format = TokenFormat::kInt8;
  int64_t width = 0;
  const uint8_t* rows = nullptr;    // [rows, CodeBytes]
  const float* scales = nullptr;    // [rows], by which the decoded rows have unit length
  const uint8_t* blends = nullptr;  // [rows], of 2 bits
};

// Owns what the views show.
struct PackedCodes {
  // Of each cell the mean of its unit vectors: scale * (row - 128).
  std::vector<uint8_t> mean_rows;
  std::vector<float> mean_scales;
  std::vector<uint8_t> rows, blends;
  std::vector<float> scales;
};

// Bytes of a row without its scale and its blend.
int64_t CodeBytes(TokenFormat format, int64_t width);
// Of a row as MaxSim reads it: the width rounded up to 4.
int64_t RowStride(int64_t width);

// Rows [begin, end), whose first cell begins with `begin`, behind what `out` has.
void AppendCodes(const TokenMatrix& rows, int64_t begin, int64_t end, int64_t cell_tokens,
                 TokenFormat format, PackedCodes* out);

// Decodes the 2-bit rows [first, first + count), all of the cell with the mean `mean`, to `rows`,
// [count, RowStride].
void DecodeTwoBit(const TokenCodes& codes, const uint8_t* mean, int64_t first, int64_t count,
                  uint8_t* rows);

}  // namespace longspan
