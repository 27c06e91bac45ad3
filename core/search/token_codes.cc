#include "core/search/token_codes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "core/kernels/quantize.h"

namespace longspan {
namespace {

// Max's levels, 0.4528 and 1.510 deviations, in 127ths of the larger one.
constexpr int32_t kSmallLevel = 38, kLargeLevel = 127;
// The levels' border, in deviations.
constexpr double kBorder = 0.9816;
constexpr int32_t kBlendOne = 256;
constexpr int64_t kCodesOfAByte = 4;

int64_t CodeStride(int64_t width) { return (width + kCodesOfAByte - 1) / kCodesOfAByte; }

// The unit vectors of one cell as floats, [rows, width]; `present`: those that are no zeros.
struct CellRows {
  std::vector<float> values;
  std::vector<bool> present;
};

CellRows UnitRows(const TokenMatrix& matrix, int64_t begin, int64_t end) {
  const int64_t width = matrix.width();
  CellRows cell;
  cell.values.reserve((end - begin) * width);
  for (int64_t row = begin; row < end; ++row) {
    const uint8_t* values = matrix.rows() + row * matrix.row_stride();
    const float scale = matrix.scales()[row];
    cell.present.push_back(scale != 0.0f);
    for (int64_t i = 0; i < width; ++i)
      cell.values.push_back(scale * static_cast<float>(values[i] - 128));
  }
  return cell;
}

// Appends the mean of those that are present.
void AppendMean(const CellRows& cell, int64_t width, PackedCodes* out) {
  std::vector<float> mean(width);
  int64_t count = 0;
  for (size_t row = 0; row < cell.present.size(); ++row) {
    if (!cell.present[row]) continue;
    ++count;
    const float* values = cell.values.data() + static_cast<int64_t>(row) * width;
    for (int64_t i = 0; i < width; ++i) mean[i] += values[i];
  }
  for (float& value : mean) value /= static_cast<float>(std::max<int64_t>(count, 1));
  const size_t before = out->mean_rows.size();
  out->mean_rows.resize(before + RowStride(width), 128);
  out->mean_scales.push_back(0.0f);
  kernels::QuantizeRows({.x = mean.data(),
                         .q = out->mean_rows.data() + before,
                         .scales = &out->mean_scales.back(),
                         .rows = 1,
                         .width = width});
}

// Bit 1: the sign, set for positive ones. Bit 0: the larger level.
uint8_t CodeOf(double difference, double deviation) {
  return static_cast<uint8_t>((difference > 0 ? 2 : 0) |
                              (std::abs(difference) > kBorder * deviation ? 1 : 0));
}

int32_t LevelOf(uint8_t code) {
  const int32_t level = (code & 1) != 0 ? kLargeLevel : kSmallLevel;
  return (code & 2) != 0 ? level : -level;
}

// Codes one row against the mean of its cell. `mean_scale`: of the mean's row.
void AppendTwoBit(std::span<const float> values, const uint8_t* mean, float mean_scale,
                  PackedCodes* out) {
  const auto width = static_cast<int64_t>(values.size());
  const int64_t bytes = CodeStride(width);
  std::vector<double> differences(width);
  double squares = 0.0;
  for (int64_t i = 0; i < width; ++i) {
    differences[i] = values[i] - static_cast<double>(mean_scale) * (mean[i] - 128);
    squares += differences[i] * differences[i];
  }
  const double deviation = std::sqrt(squares / static_cast<double>(width));
  const size_t before = out->rows.size();
  out->rows.resize(before + bytes);
  // The step of least squared error for these codes.
  double products = 0.0, level_squares = 0.0;
  for (int64_t i = 0; i < width; ++i) {
    const uint8_t code = CodeOf(differences[i], deviation);
    const double level = LevelOf(code);
    out->rows[before + i % bytes] |= static_cast<uint8_t>(code << 2 * (i / bytes));
    products += level * differences[i];
    level_squares += level * level;
  }
  const double step = products / level_squares;
  const double whole = step + mean_scale;
  const double blend = whole > 0 ? std::round(kBlendOne * step / whole) : 0.0;
  out->blends.push_back(static_cast<uint8_t>(std::clamp(blend, 0.0, kBlendOne - 1.0)));
}

// The scale by which a decoded row has unit length.
float UnitScale(const uint8_t* row, int64_t width) {
  int64_t squares = 0;
  for (int64_t i = 0; i < width; ++i) squares += (row[i] - 128) * (row[i] - 128);
  return squares == 0 ? 0.0f : static_cast<float>(1.0 / std::sqrt(static_cast<double>(squares)));
}

void AppendCell(const TokenMatrix& matrix, int64_t begin, int64_t end, PackedCodes* out) {
  const int64_t width = matrix.width();
  const CellRows cell = UnitRows(matrix, begin, end);
  AppendMean(cell, width, out);
  const uint8_t* mean = out->mean_rows.data() + out->mean_rows.size() - RowStride(width);
  std::vector<uint8_t> decoded(RowStride(width));
  for (int64_t row = 0; row < end - begin; ++row) {
    AppendTwoBit({cell.values.data() + row * width, static_cast<size_t>(width)}, mean,
                 out->mean_scales.back(), out);
    const int64_t at = static_cast<int64_t>(out->blends.size()) - 1;
    DecodeTwoBit({.format = TokenFormat::kTwoBit,
                  .width = width,
                  .rows = out->rows.data(),
                  .blends = out->blends.data()},
                 mean, at, 1, decoded.data());
    out->scales.push_back(cell.present[row] ? UnitScale(decoded.data(), width) : 0.0f);
  }
}

}  // namespace

int64_t RowStride(int64_t width) { return (width + 3) / 4 * 4; }

int64_t CodeBytes(TokenFormat format, int64_t width) {
  return format == TokenFormat::kInt8 ? RowStride(width) : CodeStride(width);
}

void AppendCodes(const TokenMatrix& rows, int64_t begin, int64_t end, int64_t cell_tokens,
                 TokenFormat format, PackedCodes* out) {
  for (int64_t first = begin; first < end; first += cell_tokens) {
    const int64_t last = std::min(first + cell_tokens, end);
    if (format == TokenFormat::kTwoBit) {
      AppendCell(rows, first, last, out);
    } else {
      AppendMean(UnitRows(rows, first, last), rows.width(), out);
    }
  }
  if (format == TokenFormat::kTwoBit) return;
  out->rows.insert(out->rows.end(), rows.rows() + begin * rows.row_stride(),
                   rows.rows() + end * rows.row_stride());
  out->scales.insert(out->scales.end(), rows.scales() + begin, rows.scales() + end);
}

void DecodeTwoBit(const TokenCodes& codes, const uint8_t* mean, int64_t first, int64_t count,
                  uint8_t* rows) {
  const int64_t width = codes.width, bytes = CodeStride(width), stride = RowStride(width);
  for (int64_t row = 0; row < count; ++row) {
    const uint8_t* packed = codes.rows + (first + row) * bytes;
    uint8_t* out = rows + row * stride;
    const auto blend = static_cast<int16_t>(codes.blends[first + row]);
    const auto mean_part = static_cast<int16_t>(kBlendOne - blend);
    // Of a code c: (c & 2) - 1 is its sign. 16 bits hold every sum: |it| <= 127 * 256 + 128.
    const auto small = static_cast<int16_t>(kSmallLevel * blend);
    const auto more = static_cast<int16_t>((kLargeLevel - kSmallLevel) * blend);
    for (int64_t part = 0; part < kCodesOfAByte; ++part) {
      const int64_t begin = part * bytes, values = std::min(bytes, width - begin);
      for (int64_t j = 0; j < values; ++j) {
        const auto code = static_cast<int16_t>(packed[j] >> 2 * part);
        const auto level = static_cast<int16_t>(small + static_cast<int16_t>(code & 1) * more);
        const auto sign = static_cast<int16_t>((code & 2) - 1);
        const auto sum = static_cast<int16_t>(
            static_cast<int16_t>((static_cast<int16_t>(mean[begin + j]) - 128) * mean_part) +
            static_cast<int16_t>(sign * level) + kBlendOne / 2);
        out[begin + j] = static_cast<uint8_t>((sum >> 8) + 128);
      }
    }
    for (int64_t i = width; i < stride; ++i) out[i] = 128;
  }
}

}  // namespace longspan
