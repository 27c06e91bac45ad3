// Every implementation of MaxSim that this processor runs, against dot products in double precision
// and against one another.
#include "core/kernels/max_sim.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/kernels/quantize.h"

namespace longspan::kernels {
namespace {

// Rows of unit length, as token vectors are.
std::vector<float> UnitRows(int64_t rows, int64_t width, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * width);
  for (int64_t row = 0; row < rows; ++row) {
    double sum = 0.0;
    for (int64_t i = 0; i < width; ++i) {
      float& value = values[row * width + i];
      value = normal(random);
      sum += static_cast<double>(value) * value;
    }
    for (int64_t i = 0; i < width; ++i)
      values[row * width + i] /= static_cast<float>(std::sqrt(sum));
  }
  return values;
}

struct Text {
  Text(const std::vector<float>& values, int64_t num_rows, int64_t width)
      : rows(num_rows),
        stride((width + 3) / 4 * 4),
        bytes(num_rows * stride, 99),
        scales(num_rows) {
    for (int64_t row = 0; row < num_rows; ++row)
      QuantizeRowsPortable({.x = values.data() + row * width,
                            .q = bytes.data() + row * stride,
                            .scales = scales.data() + row,
                            .rows = 1,
                            .width = width},
                           0, 1);
  }
  MaxSimParams Params(const PackedQuestion& question, int64_t unit_rows, float* best) const {
    return {.question = &question,
            .rows = bytes.data(),
            .row_stride = stride,
            .scales = scales.data(),
            .num_rows = rows,
            .unit_rows = unit_rows,
            .best = best};
  }
  int64_t rows, stride;
  std::vector<uint8_t> bytes;  // what lies behind a row's width is not zero
  std::vector<float> scales;
};

std::vector<float> Best(const MaxSimImplementation& one, const Text& text,
                        const PackedQuestion& question, int64_t unit_rows) {
  std::vector<float> best((text.rows + unit_rows - 1) / unit_rows * question.tokens + 1, -7.0f);
  one.run(text.Params(question, unit_rows, best.data()));
  EXPECT_EQ(best.back(), -7.0f) << one.name << " writes behind its results";
  best.pop_back();
  return best;
}

std::vector<float> Exact(const std::vector<float>& text, const std::vector<float>& question,
                         int64_t rows, int64_t tokens, int64_t width, int64_t unit_rows) {
  std::vector<float> best((rows + unit_rows - 1) / unit_rows * tokens, -INFINITY);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t token = 0; token < tokens; ++token) {
      double dot = 0.0;
      for (int64_t i = 0; i < width; ++i)
        dot += static_cast<double>(text[row * width + i]) * question[token * width + i];
      float& most = best[row / unit_rows * tokens + token];
      most = std::max(most, static_cast<float>(dot));
    }
  }
  return best;
}

float Largest(const std::vector<float>& values) {
  float largest = 0.0f;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

struct Shape {
  int64_t rows, tokens, width, unit_rows;
};
constexpr Shape kShapes[] = {{1, 1, 1, 1},      {5, 3, 4, 2},    {12, 16, 64, 12},
                             {13, 17, 63, 13},  {25, 32, 65, 8}, {100, 33, 96, 32},
                             {64, 62, 384, 16}, {41, 7, 768, 41}};

TEST(MaxSim, IsTheLargestDotProductOfEachUnit) {
  std::mt19937 random(1);
  double largest_error = 0.0;
  for (const Shape& s : kShapes) {
    const std::vector<float> text = UnitRows(s.rows, s.width, random);
    const std::vector<float> question = UnitRows(s.tokens, s.width, random);
    const std::vector<float> want = Exact(text, question, s.rows, s.tokens, s.width, s.unit_rows);
    const PackedQuestion packed = PackQuestion(question.data(), s.tokens, s.width);
    for (const MaxSimImplementation& one : MaxSimImplementations()) {
      const std::vector<float> got = Best(one, Text(text, s.rows, s.width), packed, s.unit_rows);
      ASSERT_EQ(got.size(), want.size());
      // A value is wrong by half a step of its row at most, with a deviation of a step / sqrt(12).
      // Against a row of unit length the errors of a row add up to that deviation again.
      const double bound =
          6 * std::hypot(Largest(question) / kMaxSimQuestionLimit, Largest(text) / 127) /
          std::sqrt(12.0);
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], bound) << one.name << ", width " << s.width << ", value " << i;
        largest_error = std::max(largest_error, std::abs(static_cast<double>(got[i]) - want[i]));
      }
    }
  }
  RecordProperty("largest_error", std::to_string(largest_error));
}

TEST(MaxSim, AllImplementationsGiveTheSameBits) {
  std::mt19937 random(2);
  for (const Shape& s : kShapes) {
    const Text text(UnitRows(s.rows, s.width, random), s.rows, s.width);
    const PackedQuestion question =
        PackQuestion(UnitRows(s.tokens, s.width, random).data(), s.tokens, s.width);
    const std::vector<float> want =
        Best({"portable", nullptr, MaxSimPortable}, text, question, s.unit_rows);
    for (const MaxSimImplementation& one : MaxSimImplementations())
      EXPECT_EQ(Best(one, text, question, s.unit_rows), want) << one.name;
  }
}

// The sums of AVX2 pass through 16 bits: the largest values that there are must fit.
TEST(MaxSim, TheLargestValues_DoNotSaturate) {
  for (const float sign : {1.0f, -1.0f}) {
    const std::vector<float> text(384, 1.0f), question(384, sign);
    const PackedQuestion packed = PackQuestion(question.data(), 1, 384);
    for (const MaxSimImplementation& one : MaxSimImplementations())
      EXPECT_NEAR(Best(one, Text(text, 1, 384), packed, 1)[0], sign * 384.0f, 1e-3) << one.name;
  }
}

TEST(MaxSim, ATokenOfZeros_IsSimilarToNothing) {
  const std::vector<float> question(8, 0.0f), text(16, 0.5f);
  const PackedQuestion packed = PackQuestion(question.data(), 1, 8);
  for (const MaxSimImplementation& one : MaxSimImplementations())
    EXPECT_EQ(Best(one, Text(text, 2, 8), packed, 2)[0], 0.0f) << one.name;
}

}  // namespace
}  // namespace longspan::kernels
